import { PrunellaError } from '../model/errors.ts'
import { protocolVersion, type SupervisorFrame } from '../protocol/frames.ts'

type Field = 'string' | 'number' | 'boolean' | 'any' | 'object?' | 'number?' | 'steps' | 'left?'
const attempt = { task: 'string', fence: 'number' } as const

/** What each frame must carry besides `leaseMs`. Checked by hand: a schema library takes 45 ms to load. */
const fields: ReadonlyMap<unknown, readonly (readonly [string, Field])[]> = new Map(
  Object.entries({
    adopt: {
      protocol: 'number',
      pool: 'string',
      replica: 'string',
      incarnation: 'number',
      pulseMs: 'number',
      concurrency: 'number',
      resetMs: 'number',
    },
    journal: { ...attempt, steps: 'steps' },
    task: { ...attempt, attempt: 'number', input: 'any', deadlineMs: 'number?', previous: 'object?', left: 'left?' },
    ack: { ...attempt, call: 'number', phase: 'string', accepted: 'boolean' },
    reset: { ...attempt, reason: 'string' },
    nudge: { ...attempt, text: 'string' },
    compact: { ...attempt, timeoutMs: 'number', reason: 'string' },
    misbehave: { ...attempt, fault: 'string', forMs: 'number', memoryBytes: 'number' },
    outage: { dependency: 'string', forMs: 'number' },
    lease: {},
    ping: { ping: 'number' },
    check: { probe: 'number', timeoutMs: 'number' },
  } satisfies Record<SupervisorFrame['type'], Record<string, Field>>).map(([type, shape]) => [
    type,
    Object.entries(shape),
  ]),
)

/**
 * A frame of the supervisor. Null for a type this version does not know: a newer supervisor may say more.
 *
 * @throws PrunellaError PRUNELLA_INVALID when a field is missing or of the wrong type, or the protocol is another.
 */
export function toSupervisorFrame(value: Readonly<Record<string, unknown>>): SupervisorFrame | null {
  const shape = fields.get(value['type'])
  if (shape === undefined) return null
  if (typeof value['leaseMs'] !== 'number') throw broken(value, 'leaseMs')
  for (const [name, field] of shape) if (!fits(value[name], field)) throw broken(value, name)
  const frame = value as unknown as SupervisorFrame
  if (frame.type === 'adopt' && frame.protocol !== protocolVersion) {
    const both = `The supervisor speaks protocol ${frame.protocol}, this agent's client ${protocolVersion}.`
    throw new PrunellaError('PRUNELLA_INVALID', `${both} Install the same version of prunella for both.`)
  }
  return frame
}

function fits(value: unknown, field: Field): boolean {
  switch (field) {
    case 'any':
      return value !== undefined
    case 'object?':
      return value === null || typeof value === 'object'
    case 'number?':
      return value === null || typeof value === 'number'
    case 'left?':
      return value === undefined || isAllowance(value)
    case 'steps':
      return Array.isArray(value) && value.every(isStep)
    default:
      return typeof value === field
  }
}

function isAllowance(value: unknown): boolean {
  return (
    typeof value === 'object' && value !== null && Object.values(value).every((amount) => typeof amount === 'number')
  )
}

function isStep(step: unknown): boolean {
  if (typeof step !== 'object' || step === null) return false
  const { state, name, key } = step as Record<string, unknown>
  return (
    (state === 'started' || (state === 'done' && 'result' in step)) &&
    typeof name === 'string' &&
    typeof key === 'string'
  )
}

function broken(value: Readonly<Record<string, unknown>>, field: string): PrunellaError {
  return new PrunellaError('PRUNELLA_INVALID', `The supervisor's "${value['type']}" frame has no valid "${field}".`)
}
