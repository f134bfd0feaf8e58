import type { ProviderApi } from '../../model/provider.ts'
import type { Endpoint, WireFault } from './types.ts'

/** The providers' own words for what went wrong, by which their clients choose a class of error. */
const words: Readonly<Record<WireFault['failure'], { readonly openai: string; readonly anthropic: string }>> = {
  context_overflow: { openai: 'invalid_request_error', anthropic: 'invalid_request_error' },
  rate_limited: { openai: 'rate_limit_error', anthropic: 'rate_limit_error' },
  quota_exhausted: { openai: 'insufficient_quota', anthropic: 'billing_error' },
  overloaded: { openai: 'server_error', anthropic: 'overloaded_error' },
  unavailable: { openai: 'server_error', anthropic: 'api_error' },
  auth: { openai: 'authentication_error', anthropic: 'authentication_error' },
  garbled: { openai: 'server_error', anthropic: 'api_error' },
  bad_request: { openai: 'invalid_request_error', anthropic: 'invalid_request_error' },
  not_found: { openai: 'not_found_error', anthropic: 'not_found_error' },
}

/** An error answer of ours, as the provider would write it. `code` tells whose it is. */
export function errorBody(api: ProviderApi, { failure, message }: WireFault, code: string = failure): Buffer {
  const type = words[failure][api]
  const error = { message, type, param: null, code: `prunella_${code}` }
  return Buffer.from(JSON.stringify(api === 'anthropic' ? { type: 'error', error } : { error }))
}

/** The same inside a stream that has begun: the clients' own readers throw at it. */
export function errorEvent(endpoint: Endpoint, fault: WireFault): Buffer {
  const { failure, message } = fault
  const code = `prunella_${failure}`
  switch (endpoint) {
    case 'messages':
      return Buffer.from(`event: error\ndata: ${errorBody('anthropic', fault).toString()}\n\n`)
    case 'responses': {
      const event = { type: 'error', code, message, param: null, sequence_number: 0 }
      return Buffer.from(`event: error\ndata: ${JSON.stringify(event)}\n\n`)
    }
    default:
      return Buffer.from(`data: ${errorBody('openai', fault).toString()}\n\n`)
  }
}
