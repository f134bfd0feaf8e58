import { z } from 'zod'
import { PrunellaError } from '../../model/errors.ts'
import { isValidName } from '../../model/ids.ts'
import type { Json } from '../../model/json.ts'
import { limits } from '../../model/limits.ts'
import type { SubmitOutcome } from '../../model/task.ts'
import { parseDuration } from '../../model/units.ts'
import type { Submission } from '../../port/node.ts'
import { iso, renderTask } from '../render.ts'
import { type Call, type Context, notFound, type Route, route } from '../route.ts'
import { duration, operatorBody, page, type Reasoned, reasonOf, throwUnless } from './shared.ts'

/** Data, whatever it holds: parsed by JSON.parse, never copied key by key. */
const json = z
  .custom<Json>((value) => value !== undefined, { error: 'is missing' })
  .meta({ description: 'Any JSON, at most 512 KiB.' })

const task = z.strictObject({
  input: json,
  priority: z.int().min(-1_000).max(1_000).exactOptional(),
  delay: duration.exactOptional(),
  deadline: z
    .union([z.string(), z.number()])
    .exactOptional()
    .meta({ description: 'ISO time, or a duration from now.' }),
  idempotencyKey: z.string().max(128).exactOptional(),
  needs: z.array(z.string().max(128)).max(100).exactOptional(),
})
type TaskBody = z.output<typeof task>

const answers = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('result'), result: json, ...operatorBody }),
  z.strictObject({ kind: z.literal('repeat'), ...operatorBody }),
  z.strictObject({ kind: z.literal('fail'), ...operatorBody }),
])

const statuses = [
  'queued',
  'scheduled',
  'held',
  'leased',
  'returning',
  'done',
  'failed',
  'dead_letter',
  'cancelled',
] as const

export function taskRoutes(): readonly Route[] {
  return [
    route({
      method: 'POST',
      path: '/api/v1/pools/:pool/tasks',
      role: 'submit',
      summary: 'Submit a task, or an array of tasks. The same idempotencyKey gives the first task (200).',
      body: z.union([task, z.array(task).min(1).max(limits.tasksPerSubmit)]),
      run: submit,
    }),
    route({
      method: 'GET',
      path: '/api/v1/tasks',
      role: 'read',
      summary: 'Tasks, newest first, without steps.',
      query: page.extend({ pool: z.string().exactOptional(), status: z.enum(statuses).exactOptional() }),
      run: async ({ door }, { query }) => {
        const { rows, cursor } = await door.tasks(query)
        return { body: { tasks: rows.map(renderTask), cursor } }
      },
    }),
    route({
      method: 'GET',
      path: '/api/v1/tasks/:id',
      role: 'read',
      summary: 'A task; with wait=30s, once it is final or held (at most a minute).',
      query: z.strictObject({ wait: duration.exactOptional() }),
      run: createWait(),
    }),
    route({
      method: 'POST',
      path: '/api/v1/tasks/:id/cancel',
      role: 'submit',
      summary: 'Cancel a task.',
      body: z.strictObject(operatorBody).optional(),
      run: async ({ door }, { params: { id = '' }, body, who }) => {
        if (!isValidName(id)) throw notFound(`task ${id}`)
        return throwUnless(await door.operate({ kind: 'cancel', taskId: id }, who, reasonOf(body)))
      },
    }),
    route({
      method: 'POST',
      path: '/api/v1/tasks/:id/retry',
      role: 'operate',
      summary: 'Send a failed, cancelled or dead task again, with another input if given.',
      body: z.strictObject({ input: json.exactOptional(), ...operatorBody }).optional(),
      run: retry,
    }),
    route({
      method: 'POST',
      path: '/api/v1/tasks/:id/resolve',
      role: 'operate',
      summary: 'Answer the step that a held task waits for, or let it go on; its budget then begins anew.',
      body: answers,
      run: resolve,
    }),
  ]
}

async function submit({ door, clock }: Context, { params, body }: Call<unknown, TaskBody | TaskBody[]>) {
  const { pool = '' } = params
  if (!isValidName(pool)) throw notFound(`pool ${pool}`)
  const nowMs = clock.nowMs()
  const batch = Array.isArray(body)
  const submissions = (batch ? body : [body]).map((one) => submission(one, nowMs))
  const outcomes = await door.submit(pool, submissions)
  const rendered = outcomes.map(renderOutcome)
  const full = outcomes.filter(({ kind }) => kind === 'refused').length
  if (full === outcomes.length) {
    throw new PrunellaError(
      'PRUNELLA_QUEUE_FULL',
      `The queue of ${pool} is full (${limits.queuedPerPool} tasks). Send it again later.`,
    )
  }
  const status = outcomes.some(({ kind }) => kind === 'created') ? 201 : 200
  return { status, body: batch ? rendered : rendered[0] }
}

function renderOutcome(outcome: SubmitOutcome): object {
  if (outcome.kind === 'refused') return { refused: outcome.reason, code: 'PRUNELLA_QUEUE_FULL' }
  return { id: outcome.id, status: outcome.status, ...(outcome.kind === 'existing' ? { existing: true } : {}) }
}

function submission({ input, delay, deadline, ...task }: TaskBody, nowMs: number): Submission {
  checkSize(input)
  return {
    input,
    ...task,
    ...(delay === undefined ? {} : { delayMs: delay }),
    ...(deadline === undefined ? {} : { deadlineMs: deadlineOf(deadline, nowMs) }),
  }
}

function deadlineOf(deadline: string | number, nowMs: number): number {
  const fromNowMs = parseDuration(deadline)
  if (fromNowMs !== null) return nowMs + fromNowMs
  const atMs = typeof deadline === 'string' && /^\d{4}-\d\d-\d\dT/.test(deadline) ? Date.parse(deadline) : Number.NaN
  if (Number.isNaN(atMs)) {
    throw new PrunellaError(
      'PRUNELLA_INVALID',
      `body.deadline: must be a time such as ${iso(nowMs)} or a duration such as '1h'`,
    )
  }
  return atMs
}

function checkSize(input: Json): void {
  const bytes = Buffer.byteLength(JSON.stringify(input))
  if (bytes > limits.payloadBytes) {
    throw new PrunellaError(
      'PRUNELLA_TOO_LARGE',
      `A task's input must be at most ${limits.payloadBytes} bytes, got ${bytes}. Put it elsewhere and send its address.`,
    )
  }
}

/** Each waiting request holds a socket and a listener, so there is a limit over all of them. */
function createWait() {
  let waiting = 0
  return async ({ door }: Context, { params: { id = '' }, query, signal }: Call<{ wait?: number }, unknown>) => {
    const waitMs = Math.min(query.wait ?? 0, limits.waitMs)
    if (waitMs > 0 && waiting >= limits.waitingRequests) {
      throw new PrunellaError(
        'PRUNELLA_TOO_MANY',
        `${limits.waitingRequests} requests wait already. Ask without wait, or later.`,
      )
    }
    waiting++
    try {
      const found = isValidName(id) ? await (waitMs > 0 ? door.waitForTask(id, waitMs, signal) : door.task(id)) : null
      if (found === null) throw notFound(`task ${id}`)
      return { body: renderTask(found) }
    } finally {
      waiting--
    }
  }
}

async function retry(
  { door }: Context,
  { params, body, who }: Call<unknown, (Reasoned & { input?: Json }) | undefined>,
) {
  const { id = '' } = params
  if (body?.input !== undefined) checkSize(body.input)
  const outcome = isValidName(id) ? await door.retry(id, body?.input, who, reasonOf(body)) : 'not_found'
  if (outcome === 'not_found') throw notFound(`task ${id}`)
  if (outcome === 'not_final')
    throw new PrunellaError('PRUNELLA_CONFLICT', `Task ${id} has not ended, so it cannot be sent again.`)
  return { body: { id, status: outcome } }
}

async function resolve({ door }: Context, { params, body, who }: Call<unknown, z.output<typeof answers>>) {
  const { id = '' } = params
  const reason = reasonOf(body)
  if (body.kind === 'result') checkSize(body.result)
  const answer = body.kind === 'fail' ? ({ kind: 'fail', reason } as const) : body
  const outcome = isValidName(id) ? await door.resolve(id, answer, who, reason) : 'not_found'
  if (outcome === 'not_found') throw notFound(`task ${id}`)
  if (outcome === 'not_held')
    throw new PrunellaError('PRUNELLA_CONFLICT', `Task ${id} is not held, so it waits for no answer.`)
  return { body: { id, status: outcome } }
}
