import { assertNever } from '../../model/assert.ts'
import type { NotifierSpec } from '../../model/notification.ts'
import type { Redact } from '../../model/redact.ts'
import type { Log } from '../../port/log.ts'
import type { Notifier, SendOutcome } from '../../port/notifier.ts'
import { type Resolve, systemResolve } from './address.ts'
import { sendToLog } from './log.ts'
import { sendToWebhook } from './webhook.ts'

/** Each kind keeps its own time; this much later it is left behind. */
const lateMs = 1_000
const reasonLength = 300

export interface NotifierParts {
  readonly log: Log
  /** Reasons of failures may quote addresses, and these their passwords. */
  readonly redact: Redact
  /** Replaced by tests that need a name which resolves to what they want. */
  readonly resolve?: Resolve
}

export function createNotifier(spec: NotifierSpec, { log, redact, resolve = systemResolve }: NotifierParts): Notifier {
  const { name, kind, timeoutMs } = spec
  const send = (...[notification, signal]: Parameters<Notifier['send']>): Promise<SendOutcome> => {
    switch (spec.kind) {
      case 'log':
        return Promise.resolve(sendToLog(log, notification))
      case 'webhook':
        return sendToWebhook(spec, notification, signal, resolve)
      default:
        return assertNever(spec)
    }
  }
  return {
    name,
    kind,
    timeoutMs: timeoutMs + lateMs,
    send: async (notification, signal) => clean(await send(notification, signal), redact),
  }
}

function clean(outcome: SendOutcome, redact: Redact): SendOutcome {
  if (outcome === 'sent') return outcome
  const bounded = (reason: string) => redact(reason).slice(0, reasonLength)
  return 'retry' in outcome ? { retry: bounded(outcome.retry) } : { rejected: bounded(outcome.rejected) }
}
