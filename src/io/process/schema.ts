import { z } from 'zod'
import { assert } from '../../model/assert.ts'
import { isValidName } from '../../model/ids.ts'
import type { Json } from '../../model/json.ts'
import { limits } from '../../model/limits.ts'
import { modelFailures } from '../../model/observation.ts'
import type { CheckResult } from '../../model/probe.ts'
import type { AgentFrame } from '../../protocol/frames.ts'

const name = z.string().refine(isValidName, 'not a name')
/** Part of a step's identity: never cut, since two that differ at the end are two steps. */
const identity = z.string().min(1).max(limits.noteLength)
const text = z.string()
const count = z.int().min(0)
const milliseconds = z.number().min(0).max(1e12)
/** JSON.parse made it and `decode` bounded its depth: any value is allowed. */
const json = z.custom<Json>((value) => value !== undefined, 'missing')
const error = z.object({
  name: text,
  message: text,
  code: text.exactOptional(),
  stack: text.exactOptional(),
  dependency: name.exactOptional(),
})
const hash = z.string().max(128)
const print = z.object({ hash, folded: hash, length: count })
const attempt = { task: name, fence: count }
const checksMax = 100

/** Own keys only, valid names only, into an object without a prototype. */
const results = z.unknown().transform((value, context): Readonly<Record<string, CheckResult>> => {
  const entries = typeof value === 'object' && value !== null ? Object.entries(value) : []
  if (entries.length > checksMax) context.addIssue('more than 100 checks')
  const found: Record<string, CheckResult> = Object.create(null)
  for (const [key, result] of entries.slice(0, checksMax)) {
    const parsed = checkResult.safeParse(result)
    if (!isValidName(key) || !parsed.success)
      context.addIssue(`check ${JSON.stringify(key.slice(0, 40))} has no valid name or result`)
    else found[key] = parsed.data
  }
  return found
})
const checkResult = z.discriminatedUnion('ok', [
  z.object({ ok: z.literal(true) }),
  z.object({ ok: z.literal(false), reason: text }),
])

const frame = z.discriminatedUnion('type', [
  z.object({ type: z.literal('hello'), protocol: count, client: text }),
  z.object({
    type: z.literal('ready'),
    checks: z.array(name).max(checksMax).readonly(),
    resettable: z.boolean(),
    compactable: z.boolean().exactOptional(),
  }),
  z.object({ type: z.literal('setup_failed'), error }),
  z.object({ type: z.literal('pulse'), lagMs: milliseconds }),
  z.object({ type: z.literal('pong'), ping: count }),
  z.object({ type: z.literal('checked'), probe: count, results }),
  z.object({ type: z.literal('started'), ...attempt }),
  z.object({ type: z.literal('progress'), ...attempt, note: text }),
  z.object({
    type: z.literal('call_started'),
    ...attempt,
    call: count,
    kind: z.enum(['step', 'tool', 'wait']),
    name: identity,
    key: identity.exactOptional(),
    repeat: z.enum(['safe_to_retry', 'check_first', 'ask_human']).exactOptional(),
    timeoutMs: milliseconds.exactOptional(),
    blocking: z.boolean().exactOptional(),
    args: z.object({ hash, length: count, text }).exactOptional(),
    poll: z.boolean().exactOptional(),
    dependency: name.exactOptional(),
  }),
  z.object({
    type: z.literal('call_ended'),
    ...attempt,
    call: count,
    ok: z.boolean(),
    result: json.exactOptional(),
    error: error.exactOptional(),
    print: print.exactOptional(),
  }),
  z.object({
    type: z.literal('model_called'),
    ...attempt,
    provider: text.exactOptional(),
    model: text.exactOptional(),
    promptTokens: count.exactOptional(),
    completionTokens: count.exactOptional(),
    usd: z.number().min(0).max(limits.usdPerCall).exactOptional(),
    windowTokens: count.exactOptional(),
    textHash: hash.exactOptional(),
    textLength: count.exactOptional(),
    toolCalls: count.exactOptional(),
    failure: z.enum(modelFailures).exactOptional(),
  }),
  z.object({ type: z.literal('user_turn'), ...attempt }),
  z.object({ type: z.literal('compacted'), ...attempt, tokens: count.exactOptional() }),
  z.object({ type: z.literal('compact_failed'), ...attempt, error }),
  z.object({ type: z.literal('done'), ...attempt, output: json }),
  z.object({ type: z.literal('failed'), ...attempt, error }),
  z.object({ type: z.literal('reset_ok'), ...attempt }),
  z.object({ type: z.literal('reset_failed'), ...attempt, error }),
  z.object({ type: z.literal('lease_expired'), ...attempt }),
  z.object({
    type: z.literal('log'),
    level: z.enum(['debug', 'info', 'warn', 'error']),
    message: text,
    task: name.exactOptional(),
  }),
])

/** Does not compile when schema and type differ, in either direction. */
const isSameAsType: [AgentFrame, z.output<typeof frame>] extends [z.output<typeof frame>, AgentFrame] ? true : never =
  true
assert(isSameAsType, 'the schema is the type')

/** Optional fields are compatible with their absence, so names are compared besides: one left out here is dropped unseen. */
type FieldOf<Frame> = Frame extends { readonly type: infer Type extends string }
  ? `${Type}.${keyof Frame & string}`
  : never
const hasSameFields: [FieldOf<AgentFrame>, FieldOf<z.output<typeof frame>>] extends [
  FieldOf<z.output<typeof frame>>,
  FieldOf<AgentFrame>,
]
  ? true
  : never = true
assert(hasSameFields, 'the schema has all fields of the type')

export type ParsedFrame =
  | { readonly ok: true; readonly frame: AgentFrame }
  | { readonly ok: false; readonly reason: string }

/** Checks a decoded value. Fields that the protocol does not know are left out: a newer client may say more. */
export function parseFrame(value: unknown): ParsedFrame {
  const parsed = frame.safeParse(value)
  if (parsed.success) return { ok: true, frame: parsed.data }
  const issue = parsed.error.issues[0]
  return {
    ok: false,
    reason: `${issue?.path.join('.') || 'frame'}: ${issue?.message ?? 'invalid'}`.slice(0, limits.noteLength),
  }
}
