import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { SimClock } from '../../test/sim/clock.ts'
import { createMemoryStore, type MemoryStore } from '../../test/sim/memory-store.ts'
import { silentLog } from '../../test/sim/quiet.ts'
import { createRandom } from '../../test/sim/random.ts'
import { PrunellaError } from '../model/errors.ts'
import { limits } from '../model/limits.ts'
import type { Notification } from '../model/notification.ts'
import type { Meter } from '../port/meter.ts'
import type { Notifier, SendOutcome } from '../port/notifier.ts'
import { Courier } from './notifying.ts'
import { Teller } from './telling.ts'

const startMs = 1_000_000
const timeoutMs = 5_000

let clock: SimClock
let store: MemoryStore
let teller: Teller
/** What the notifier was asked to send, with the time. */
let tries: { readonly id: string; readonly atMs: number }[]
let answer: (id: string) => Promise<SendOutcome>
let counts: Map<string, number>
let storeFails: boolean
let life: AbortController
let courier: Courier
let running: Promise<void>

beforeEach(() => {
  clock = new SimClock(startMs)
  store = createMemoryStore()
  tries = []
  answer = async () => 'sent'
  counts = new Map()
  storeFails = false
  born()
})

/** A supervisor begins, on whatever the store holds. */
function born(): void {
  life = new AbortController()
  const audiences = [{ name: 'pager', minimum: 'warning' }] as const
  const letterhead = { owners: new Map(), redact: (text: string) => text }
  teller = new Teller(audiences, letterhead, () => courier.ring())
  const notifier: Notifier = {
    ...{ name: 'pager', kind: 'webhook', timeoutMs },
    send({ id }) {
      tries.push({ id, atMs: clock.nowMs() })
      return answer(id)
    },
  }
  const failing = async (): Promise<never> => {
    throw new PrunellaError('PRUNELLA_STORE_FAILED', 'the disk is full')
  }
  const flaky = {
    ...store,
    commit: (batch: Parameters<typeof store.commit>[0]) => (storeFails ? failing() : store.commit(batch)),
    outbox: (name: string, limit: number) => (storeFails ? failing() : store.outbox(name, limit)),
  }
  const meter: Meter = {
    ...{ gauge: () => undefined, clear: () => undefined, observe: () => undefined, render: async () => '' },
    count: (_name, { outcome = '' }) => void counts.set(outcome, (counts.get(outcome) ?? 0) + 1),
  }
  courier = new Courier(notifier, { store: flaky, clock, random: createRandom(1), meter, log: silentLog, teller })
  running = courier.run(life.signal)
}

async function dies(): Promise<void> {
  life.abort()
  await running
}

afterEach(dies)

async function settle(): Promise<void> {
  for (let turn = 0; turn < 3_000; turn++) await null
}

/** Lets time pass, one event after another. */
async function pass(ms: number): Promise<void> {
  const untilMs = clock.nowMs() + ms
  await settle()
  while (clock.nextMs <= untilMs) {
    clock.advanceTo(clock.nextMs)
    await settle()
  }
  clock.advanceTo(untilMs)
}

async function put(...ids: readonly string[]): Promise<void> {
  const deliveries = ids.map((id) => ({ to: 'pager', notification: message(id) }))
  await store.commit({
    nowMs: clock.nowMs(),
    decisions: [[{ kind: 'notification', told: null, deliveries }]],
    claims: [],
  })
  courier.ring()
  await settle()
}

function message(id: string): Notification {
  return {
    ...{ id, incidentId: 'inc-1', change: 'opened', severity: 'warning', title: id, text: '', owner: null, pool: 'p' },
    ...{ replica: null, taskId: null, evidence: [], commands: [], atMs: startMs, sequence: 1 },
  }
}

const waiting = async () => (await store.outbox('pager', 100)).rows.map(({ notification: { id } }) => id)
const asked = () => tries.map(({ id }) => id)
const never = (): Promise<never> => new Promise(() => undefined)

describe('a receiver that answers', () => {
  test('gets everything once, in order, as it comes', async () => {
    await put('a', 'b')
    await put('c')
    await pass(60_000)
    expect(asked()).toEqual(['a', 'b', 'c'])
    expect(await waiting()).toEqual([])
    expect(counts).toEqual(new Map([['sent', 3]]))
  })

  test('gets more than a page', async () => {
    const ids = Array.from({ length: limits.outboxPage * 2 + 1 }, (_, at) => `n${at}`)
    await put(...ids)
    await pass(1)
    expect(asked()).toEqual(ids)
  })

  test('N2: one that it refuses does not hold up the next', async () => {
    answer = async (id) => (id === 'a' ? { rejected: 'HTTP 422' } : 'sent')
    await put('a', 'b')
    await pass(60_000)
    expect(asked()).toEqual(['a', 'b'])
    expect(counts.get('rejected')).toBe(1)
    expect(courier.trouble).toBeNull()
  })
})

describe('a receiver that is down', () => {
  test('N2: the first is tried again with growing pauses, and nothing overtakes it', async () => {
    answer = async () => ({ retry: 'HTTP 503' })
    await put('a', 'b')
    await pass(600_000)
    expect(new Set(asked())).toEqual(new Set(['a']))
    const pauses = tries.slice(1).map(({ atMs }, at) => atMs - (tries[at]?.atMs ?? 0))
    pauses.forEach((ms, at) => {
      expect(ms).toBeLessThanOrEqual(Math.min(300_000, 1_000 * 2 ** at))
    })
    expect(courier.trouble).toBe('HTTP 503')
    answer = async () => 'sent'
    await pass(300_000)
    expect(asked().slice(-2)).toEqual(['a', 'b'])
    expect(courier.trouble).toBeNull()
  })

  test('what it never takes is given up after the written number of tries', async () => {
    answer = async (id) => (id === 'a' ? { retry: 'HTTP 503' } : 'sent')
    await put('a', 'b')
    await pass(limits.notificationTries * 300_000)
    expect(asked().filter((id) => id === 'a')).toHaveLength(limits.notificationTries)
    expect(asked().at(-1)).toBe('b')
    expect(counts).toEqual(
      new Map([
        ['retried', limits.notificationTries - 1],
        ['given_up', 1],
        ['sent', 1],
      ]),
    )
  })

  test('one that hangs, and ignores that it is told to stop, is cut after its time', async () => {
    answer = never
    await put('a')
    await pass(timeoutMs - 1)
    expect(courier.trouble).toBeNull()
    await pass(1)
    expect(courier.trouble).toBe(`no answer within ${timeoutMs} ms`)
    answer = async () => 'sent'
    await pass(1_000)
    expect(asked()).toEqual(['a', 'a'])
  })

  test('one that throws is down as well', async () => {
    answer = () => Promise.reject(new Error('out of sockets'))
    await put('a')
    await pass(1)
    expect(courier.trouble).toBe('out of sockets')
  })
})

describe('N1: a supervisor that ends', () => {
  test('between the answer and the record of it: the same id again', async () => {
    answer = async () => {
      life.abort()
      return 'sent'
    }
    await put('a', 'b')
    await dies()
    answer = async () => 'sent'
    born()
    await pass(60_000)
    expect(asked()).toEqual(['a', 'a', 'b'])
  })

  test('in a pause: the next one goes on where it was, with the tries that were made', async () => {
    answer = async () => ({ retry: 'HTTP 503' })
    await put('a')
    await pass(30_000)
    const before = asked().length
    await dies()
    const [row] = (await store.outbox('pager', 1)).rows
    expect(row?.tries).toBe(before)
    born()
    await pass((row?.retryAtMs ?? 0) - clock.nowMs() - 1)
    expect(asked()).toHaveLength(before)
    await pass(1)
    expect(asked()).toHaveLength(before + 1)
  })
})

describe('a store that fails', () => {
  test('what was sent is not sent again in this life', async () => {
    answer = async (id) => {
      if (id === 'a') storeFails = true
      return 'sent'
    }
    await put('a', 'b')
    await pass(10_000)
    expect(asked()).toEqual(['a'])
    storeFails = false
    await pass(2_000)
    expect(asked()).toEqual(['a', 'b'])
    expect(await waiting()).toEqual([])
  })

  test('is told from memory, again until it is heard, once in its quiet period', async () => {
    storeFails = true
    answer = async () => ({ retry: 'HTTP 503' })
    const notice = { kind: 'node', severity: 'critical', text: 'the store failed', atMs: startMs } as const
    teller.press(notice)
    await pass(10_000)
    const before = asked().length
    expect(before).toBeGreaterThan(1)
    answer = async () => 'sent'
    await pass(60_000)
    teller.press({ ...notice, atMs: clock.nowMs() })
    await pass(60_000)
    expect(asked()).toHaveLength(before + 1)
    expect(new Set(asked()).size).toBe(1)
  })
})

test('what was dropped is owned up to before anything else, once', async () => {
  answer = async () => ({ retry: 'HTTP 503' })
  const deliveries = Array.from({ length: limits.outboxRows + 2 }, (_, at) => ({
    to: 'pager',
    notification: message(`n${at}`),
  }))
  await store.commit({ nowMs: startMs, decisions: [[{ kind: 'notification', told: null, deliveries }]], claims: [] })
  answer = async (id) => (id.startsWith('node-') ? 'sent' : never())
  courier.ring()
  await settle()
  expect(tries.map(({ id }) => id.split('-')[0])).toEqual(['node', 'n2'])
  expect((await store.outbox('pager', 1)).dropped).toBe(0)
})
