import type { ServerResponse } from 'node:http'
import type { ProviderApi } from '../model/provider.ts'
import { errorBody } from './wire/errors.ts'
import type { WireFault } from './wire/types.ts'

/** An answer of the gateway itself, which no client's library tries again. */
export function refuse(
  response: ServerResponse,
  fault: Pick<WireFault, 'failure' | 'status' | 'message'> & { readonly code?: string },
  api: ProviderApi = 'openai',
): void {
  const body = errorBody(api, { ...fault, retryAfterMs: null, words: [] }, fault.code)
  response.writeHead(fault.status, {
    'content-type': 'application/json',
    'content-length': body.length,
    'x-should-retry': 'false',
  })
  response.end(body)
}
