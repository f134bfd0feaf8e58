import type { NotifierSpec } from '../model/notification.ts'
import { showDuration } from '../model/units.ts'
import { defaultNotify } from './defaults.ts'
import { show } from './issue.ts'
import type { RawNotifier } from './schema.ts'

/** Fewer can be guessed. */
const shortestSecret = 16
/** Longer, and a receiver that hangs keeps the next message waiting for longer than anybody wants to. */
const longestTimeoutMs = 60_000

/** In the order of the configuration. The second of a kind is `webhook-2`, and so on. */
export function resolveNotify(raw: readonly RawNotifier[]): readonly NotifierSpec[] {
  return raw.map((notifier, at) => {
    const { kind, minimum = defaultNotify.minimum[kind], timeout = defaultNotify.timeoutMs } = notifier
    const before = raw.slice(0, at).filter((other) => other.kind === kind).length
    const base = { name: before === 0 ? kind : `${kind}-${before + 1}`, minimum, timeoutMs: timeout }
    if (kind === 'log') return { ...base, kind }
    const { url = '', secret = '', allowPrivate = false } = notifier
    return { ...base, kind, url, secret, allowPrivate }
  })
}

/** What must hold between a notifier's values: one line for each contradiction. */
export function checkNotify(raw: readonly RawNotifier[]): readonly string[] {
  return raw.flatMap((notifier, at) => {
    const path = `notify[${at}]`
    return notifier.kind === 'log' ? checkLog(path, notifier) : checkWebhook(path, notifier)
  })
}

const webhookOnly = ['url', 'secret', 'allowPrivate', 'timeout'] as const

function checkLog(path: string, raw: RawNotifier): readonly string[] {
  return webhookOnly
    .filter((key) => raw[key] !== undefined)
    .map((key) => `${path}.${key} belongs to a webhook, got kind ${show(raw.kind)}`)
}

function checkWebhook(path: string, { url, secret, timeout }: RawNotifier): readonly string[] {
  const problems: string[] = []
  if (url === undefined) problems.push(`${path}.url must be an http or https address, got nothing`)
  // Its length only: the value is nobody's business.
  if (secret === undefined || secret.length < shortestSecret)
    problems.push(
      `${path}.secret must be at least ${shortestSecret} characters long, got ${secret?.length ?? 'nothing'}`,
    )
  if (timeout !== undefined && timeout > longestTimeoutMs)
    problems.push(`${path}.timeout must be at most ${showDuration(longestTimeoutMs)}, got ${showDuration(timeout)}`)
  return problems
}
