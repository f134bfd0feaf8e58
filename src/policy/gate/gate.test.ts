import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { limits } from '../../model/limits.ts'
import { type BreakerWord, Gate, type GateAnswer, type GateCall } from './gate.ts'

const minute = 60_000
let ids = 0
const call = (more: Partial<GateCall> = {}): GateCall => {
  ids += 1
  return { id: ids, replica: 'p/0', deadlineMs: 10 * minute, isRepeated: false, tries: 0, notBeforeMs: 0, ...more }
}
const failed = (
  failure: Extract<GateAnswer, { kind: 'failed' }>['failure'],
  retryAfterMs: number | null = null,
): GateAnswer => ({ kind: 'failed', failure, retryAfterMs })

function asked(gate: Gate, calls: readonly GateCall[], nowMs: number) {
  for (const one of calls) gate.ask(one, nowMs)
  return gate.step(nowMs)
}

/** Wakes it up when it wants to be, until nobody waits. */
function drained(gate: Gate, fromMs: number) {
  const sent: number[] = []
  let nowMs = fromMs
  for (;;) {
    const { admitted, wakeAtMs } = gate.step(nowMs)
    sent.push(...admitted)
    if (gate.waiting === 0) return { sent, nowMs }
    expect(wakeAtMs).toBeGreaterThan(nowMs)
    nowMs = wakeAtMs
  }
}

describe('a pause that a provider asks for', () => {
  test('holds for everybody until its very end, however long, and then work goes on', () => {
    const gate = new Gate('llm', 0)
    const first = call()
    asked(gate, [first], 0)
    const again = gate.answered(first, failed('rate_limited', 120_000), 100) as GateCall
    const others = [call({ replica: 'p/1' }), call({ replica: 'p/2' })]
    expect(asked(gate, [again, ...others], 100)).toMatchObject({ admitted: [], refused: [], wakeAtMs: 120_100 })
    expect(gate.step(120_099).admitted).toEqual([])
    // Nothing is known of its rate yet: two a second at first.
    let nowMs = 120_100
    const sent = [...gate.step(nowMs).admitted]
    expect(sent).toEqual([again.id])
    const rest = drained(gate, nowMs)
    sent.push(...rest.sent)
    nowMs = rest.nowMs
    expect(sent).toEqual([again, ...others].map(({ id }) => id))
    expect(nowMs).toBeLessThan(122_000)
  })

  test('refuses at once who cannot wait for its end, and says when to come back', () => {
    const gate = new Gate('llm', 0)
    const first = call()
    asked(gate, [first], 0)
    gate.answered(first, failed('rate_limited', 120_000), 0)
    const hasty = call({ deadlineMs: minute })
    expect(asked(gate, [hasty], 1_000).refused).toEqual([
      { id: hasty.id, retryAfterMs: 119_000, reason: 'llm limits the rate' },
    ])
  })

  test('without a word about its length is 1, 2, 4 … s, once for all that were under way together', () => {
    const gate = new Gate('llm', 0)
    const [a, b] = [call(), call({ replica: 'p/1' })]
    asked(gate, [a, b], 0)
    const again = gate.answered(a, failed('rate_limited'), 10) as GateCall
    gate.answered(b, failed('rate_limited'), 20)
    const { wakeAtMs } = asked(gate, [again], 20)
    expect(wakeAtMs).toBeGreaterThan(800)
    expect(wakeAtMs).toBeLessThanOrEqual(1_010)
  })

  test('is also what a limit that is used up means', () => {
    const gate = new Gate('llm', 0)
    const first = call()
    asked(gate, [first], 0)
    gate.answered(first, { kind: 'served', words: [{ remaining: 0, resetMs: 700 }] }, 10)
    expect(asked(gate, [call()], 10)).toMatchObject({ admitted: [], wakeAtMs: 710 })
    expect(gate.step(710).admitted).toHaveLength(1)
  })
})

describe('the supervisor’s breaker', () => {
  test('open lets nobody in, half open one at a time, closed everybody', () => {
    const gate = new Gate('llm', 0)
    gate.breaker('open', 0)
    const calls = [call(), call(), call()]
    expect(asked(gate, calls, 0).admitted).toEqual([])
    gate.breaker('half_open', 10)
    expect(gate.step(10).admitted).toEqual([calls[0]?.id])
    expect(gate.step(11).admitted).toEqual([])
    gate.answered(calls[0] as GateCall, { kind: 'served' }, 20)
    expect(gate.step(20).admitted).toEqual([calls[1]?.id])
    gate.breaker('closed', 30)
    expect(gate.step(30).admitted).toEqual([calls[2]?.id])
  })
})

test('a call of before the outage does not stand in the way of the trial', () => {
  const gate = new Gate('llm', 0)
  asked(gate, [call()], 0)
  gate.breaker('half_open', 10)
  expect(asked(gate, [call(), call()], 10).admitted).toHaveLength(1)
})

test('while all that wait have a pause of their own, nobody is woken before the first is over', () => {
  const gate = new Gate('llm', 0)
  const one = call()
  asked(gate, [one], 0)
  gate.answered(one, { kind: 'served', words: [{ remaining: 0, resetMs: 10 }] }, 0)
  gate.step(10)
  expect(asked(gate, [call({ tries: 1, notBeforeMs: 500 })], 20).wakeAtMs).toBe(500)
})

test('a line that is full turns away who comes, not who waits', () => {
  const gate = new Gate('llm', 0)
  gate.breaker('open', 0)
  for (let count = 0; count < limits.gateWaiting; count++) gate.ask(call(), 0)
  const late = call({ replica: 'p/9' })
  expect(asked(gate, [late], 0).refused.map(({ id }) => id)).toEqual([late.id])
  expect(gate.waiting).toBe(limits.gateWaiting)
})

describe('who may be sent again', () => {
  test.each<{ what: string; answer: GateAnswer; again: boolean; tries?: number }>([
    { what: 'a rate limit', answer: failed('rate_limited', 5), again: true },
    { what: 'an overloaded provider', answer: failed('overloaded'), again: true },
    { what: 'a connection that broke', answer: failed('unavailable'), again: true },
    { what: 'the fourth time', answer: failed('unavailable'), again: false, tries: 3 },
    { what: 'a wrong key', answer: failed('auth'), again: false },
    { what: 'a wrong request', answer: failed('bad_request'), again: false },
    { what: 'a quota that is used up', answer: failed('quota_exhausted'), again: false },
    { what: 'a context that is too long', answer: failed('context_overflow'), again: false },
    { what: 'an answer', answer: { kind: 'served' }, again: false },
    { what: 'a client that left', answer: { kind: 'gone' }, again: false },
  ])('$what: $again', ({ answer, again, tries = 0 }) => {
    const gate = new Gate('llm', 0)
    const one = call({ tries })
    asked(gate, [one], 0)
    expect(gate.answered(one, answer, 1) !== null).toBe(again)
  })

  test('a client’s own retries come out of the same budget, and are refused beyond it', () => {
    const gate = new Gate('llm', 0)
    expect(asked(gate, [call({ isRepeated: true })], 0).admitted).toHaveLength(1)
    expect(asked(gate, [call({ isRepeated: true })], 0).refused).toHaveLength(1)
  })
})

test('replicas take turns, and within one the first comes first', () => {
  const gate = new Gate('llm', 0)
  gate.breaker('open', 0)
  const calls = [...Array(3).fill('p/0'), 'p/1', 'p/2', 'p/1'].map((replica) => call({ replica }))
  asked(gate, calls, 0)
  gate.breaker('closed', 1)
  const order = drained(gate, 1).sent.map((id) => calls.findIndex((one) => one.id === id))
  expect(order).toEqual([0, 3, 4, 1, 5, 2])
})

test('the limit falls once for a round trip, and grows again while it is used', () => {
  const gate = new Gate('llm', 0)
  const calls = Array.from({ length: 100 }, () => call())
  asked(gate, calls, 0)
  for (const one of calls.slice(0, 50)) gate.answered(one, failed('overloaded'), 10)
  const next = Array.from({ length: 200 }, () => call())
  asked(gate, next, 20)
  // 70 of the 100 that were under way.
  expect(gate.inFlight).toBe(70)
})

describe('a provider that fails now and then', () => {
  /** Ten agents, one call each at a time, for two minutes; every call takes 200 ms. */
  function load(fails: (n: number) => GateAnswer | null) {
    const gate = new Gate('llm', 0)
    const due: { readonly call: GateCall; readonly atMs: number }[] = []
    let [served, sent, given] = [0, 0, 0]
    const waiting = new Map<number, GateCall>()
    const ask = (one: GateCall, nowMs: number): void => {
      waiting.set(one.id, one)
      gate.ask(one, nowMs)
    }
    for (let agent = 0; agent < 10; agent++) ask(call({ replica: `p/${agent}`, deadlineMs: 1e9 }), 0)
    for (let nowMs = 0; nowMs < 2 * minute; nowMs += 10) {
      for (
        let at = due.findIndex((one) => one.atMs <= nowMs);
        at >= 0;
        at = due.findIndex((one) => one.atMs <= nowMs)
      ) {
        const [{ call: one }] = due.splice(at, 1) as [{ call: GateCall; atMs: number }]
        const answer = fails(sent + one.id) ?? { kind: 'served' as const }
        if (answer.kind === 'served') served += 1
        const again = gate.answered(one, answer, nowMs)
        if (again !== null) ask(again, nowMs)
        else {
          given += 1
          ask(call({ replica: one.replica, deadlineMs: 1e9 }), nowMs)
        }
      }
      for (const id of gate.step(nowMs).admitted) {
        sent += 1
        due.push({ call: waiting.get(id) as GateCall, atMs: nowMs + 200 })
      }
    }
    return { served, sent, given }
  }

  test('30 % of 5xx: at most 10 % more calls, at least 60 % of the throughput', () => {
    const sound = load(() => null)
    const hurt = load((n) => ((Math.imul(n, 2_654_435_761) >>> 8) % 10 < 3 ? failed('unavailable') : null))
    expect(hurt.sent / hurt.given).toBeLessThanOrEqual(1.1)
    expect(hurt.served / sound.served).toBeGreaterThanOrEqual(0.6)
  })
})

test('300 that waited for the end of an outage go out at no more than 1.5 times the rate that was seen', () => {
  const gate = new Gate('llm', 0)
  // 20 a second for ten seconds.
  for (let nowMs = 0; nowMs < 10_000; nowMs += 50) {
    const one = call()
    asked(gate, [one], nowMs)
    gate.answered(one, { kind: 'served' }, nowMs)
  }
  gate.breaker('open', 10_000)
  const herd = Array.from({ length: 300 }, (_, at) => call({ replica: `p/${at % 30}`, deadlineMs: 1e9 }))
  asked(gate, herd, 20_000)
  gate.breaker('closed', 30_000)
  const sentMs: number[] = []
  for (let nowMs = 30_000; gate.waiting > 0; nowMs += 10) for (const _ of gate.step(nowMs).admitted) sentMs.push(nowMs)
  expect(sentMs).toHaveLength(300)
  for (const [at, atMs] of sentMs.entries())
    expect(sentMs.slice(at).filter((other) => other < atMs + 1_000).length).toBeLessThanOrEqual(30)
  expect((sentMs.at(-1) ?? 0) - 30_000).toBeLessThan(15_000)
})

/** A gate with somebody who knows what it may say. */
class Watched {
  readonly gate = new Gate('llm', 0)
  readonly waiting = new Map<number, GateCall>()
  readonly under = new Map<number, GateCall>()
  nowMs = 0
  private shutMs = 0
  private word: BreakerWord = 'closed'

  ask(one: GateCall): void {
    this.waiting.set(one.id, one)
    this.gate.ask(one, this.nowMs)
  }

  breaker(word: BreakerWord): void {
    this.word = word
    this.gate.breaker(word, this.nowMs)
  }

  leave(): void {
    const [id] = this.waiting.keys()
    if (id !== undefined && this.waiting.delete(id)) this.gate.left(id)
  }

  answer(answer: GateAnswer): void {
    const [first] = this.under.values()
    if (first === undefined || !this.under.delete(first.id)) return
    if (answer.kind === 'failed' && answer.failure === 'rate_limited')
      this.shutMs = Math.max(this.shutMs, this.nowMs + (answer.retryAfterMs ?? 0))
    const again = this.gate.answered(first, answer, this.nowMs)
    if (again !== null) this.ask(again)
  }

  step(): void {
    const { admitted, refused } = this.gate.step(this.nowMs)
    for (const id of admitted) {
      const one = this.waiting.get(id)
      expect(one).toBeDefined()
      expect(this.nowMs).toBeGreaterThanOrEqual(this.shutMs)
      expect(this.word).not.toBe('open')
      this.waiting.delete(id)
      this.under.set(id, one as GateCall)
    }
    if (this.word === 'half_open') expect(admitted.length).toBeLessThanOrEqual(1)
    for (const { id } of refused) expect(this.waiting.delete(id)).toBe(true)
    expect(this.gate.waiting).toBe(this.waiting.size)
    expect(this.gate.inFlight).toBe(this.under.size)
  }

  /** Everything is answered, and everybody who may still wait gets in. */
  finish(): void {
    this.breaker('closed')
    for (let turns = 0; this.waiting.size > 0 && turns < 1_000; turns++) {
      while (this.under.size > 0) this.answer({ kind: 'served' })
      this.step()
      this.nowMs = Math.max(this.nowMs + 1, Math.min(this.gate.step(this.nowMs).wakeAtMs, this.nowMs + 1_000))
    }
    expect(this.waiting.size).toBe(0)
  }
}

test('whatever happens: each call gets one word, nobody is let in before a pause is over, the limits hold', () => {
  const answer = fc.oneof(
    fc.constantFrom<GateAnswer>({ kind: 'served' }, { kind: 'gone' }),
    fc.integer({ min: 0, max: 5_000 }).map((ms) => failed('rate_limited', ms)),
    fc.constantFrom(failed('rate_limited'), failed('overloaded'), failed('unavailable'), failed('auth')),
  )
  const event: fc.Arbitrary<(on: Watched) => void> = fc.oneof(
    fc.integer({ min: 0, max: 3 }).map((at) => (on: Watched) => {
      on.ask(call({ replica: `p/${at}`, deadlineMs: on.nowMs + 20_000 }))
    }),
    answer.map((one) => (on: Watched) => on.answer(one)),
    fc.constant((on: Watched) => on.leave()),
    fc.integer({ min: 0, max: 3_000 }).map((ms) => (on: Watched) => {
      on.nowMs += ms
    }),
    fc.constantFrom<BreakerWord>('open', 'half_open', 'closed').map((word) => (on: Watched) => on.breaker(word)),
  )
  fc.assert(
    fc.property(fc.array(event, { maxLength: 200 }), (events) => {
      const on = new Watched()
      for (const happens of events) {
        happens(on)
        on.step()
      }
      on.finish()
    }),
  )
})
