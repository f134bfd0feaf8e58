import { Duplex } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { modelUsage } from '../../../test/fixtures/specs.ts'
import { limits } from '../../model/limits.ts'
import type { Observation } from '../../model/observation.ts'
import { Channel } from './channel.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
afterEach(() => void vi.useRealTimers())

const hello = '{"type":"hello","protocol":1,"client":"test"}\n'
const pulse = '{"type":"pulse","lagMs":0}\n'
const log = '{"type":"log","level":"info","message":"m"}\n'

function open() {
  const time = { nowMs: 1_000_000 }
  const observations: Observation[] = []
  const written: string[] = []
  const logs: string[] = []
  const stream = new Duplex({
    read: () => undefined,
    write: (chunk, _, next) => {
      written.push(String(chunk))
      next()
    },
  })
  const inbox = { full: false, push: (seen: Observation) => void observations.push(seen), onDrain: () => undefined }
  const channel = new Channel({
    stream,
    subject: { replica: 'pool/0', incarnation: 1 },
    inbox,
    clock: { nowMs: () => time.nowMs, sleepUntil: () => Promise.resolve() },
    redact: (text) => text.replace('secret', '[redacted]'),
    onLog: (level, message) => void logs.push(`${level} ${message}`),
    onReady: () => undefined,
  })
  const say = (text: string | Buffer) => void stream.emit('data', Buffer.from(text))
  const passSecond = () => {
    time.nowMs += 1_000
    vi.advanceTimersByTime(1_000)
  }
  const count = (kind: Observation['kind']) => observations.filter((seen) => seen.kind === kind).length
  const violation = () => observations.find((seen) => seen.kind === 'violation')?.reason ?? null
  return { channel, stream, inbox, observations, written, logs, say, passSecond, count, violation }
}

describe('frames', () => {
  test('may come in any pieces', () => {
    const on = open()
    for (const byte of Buffer.from(hello + pulse + pulse)) on.say(Buffer.from([byte]))
    expect(on.count('pulse')).toBe(2)
    expect(on.violation()).toBeNull()
  })

  test.each([
    { name: 'at the limit', extra: 0, broken: false },
    { name: 'one byte above', extra: 1, broken: true },
  ])('a frame $name', ({ extra, broken }) => {
    const on = open()
    on.say(hello)
    const frame = `{"type":"pulse","lagMs":0,"x":""}\n`
    on.say(frame.replace('""', `"${'x'.repeat(limits.frameBytes - frame.length + extra)}"`))
    expect(on.violation() !== null).toBe(broken)
    expect(on.count('pulse')).toBe(broken ? 0 : 1)
  })

  test('extra fields do not travel, free text is redacted, made inert and cut', () => {
    const on = open()
    on.channel.dispatched('t', 1)
    on.say(hello)
    on.say(
      `{"type":"progress","task":"t","fence":1,"note":"a secret \\u001b[31m${'x'.repeat(600)}","isAdmin":true,"__proto__":{"isAdmin":true}}\n`,
    )
    const seen = on.observations[0]
    expect(seen).toMatchObject({ kind: 'progress', note: expect.stringMatching(/^a \[redacted\] x+$/) })
    expect(seen?.kind === 'progress' && seen.note.length).toBe(limits.noteLength)
    expect(Object.keys(seen ?? {}).sort()).toEqual([
      'atMs',
      'fence',
      'incarnation',
      'kind',
      'note',
      'replica',
      'taskId',
    ])
    expect((seen as unknown as { isAdmin?: boolean }).isAdmin).toBeUndefined()
  })

  test.each([
    { name: 'a path as task id', frame: '{"type":"started","task":"../../x","fence":1}' },
    { name: 'a prototype key as task id', frame: '{"type":"started","task":"__proto__","fence":1}' },
    { name: 'a fence that is no number', frame: '{"type":"started","task":"t","fence":"1"}' },
    { name: 'a negative fence', frame: '{"type":"started","task":"t","fence":-1}' },
    { name: 'a fence beyond whole numbers', frame: '{"type":"started","task":"t","fence":1e300}' },
    { name: 'an unknown type', frame: '{"type":"toString"}' },
    { name: 'no type', frame: '{}' },
    { name: 'done without output', frame: '{"type":"done","task":"t","fence":1}' },
    { name: 'hello again', frame: hello.trim() },
    {
      name: 'a dependency that is no name',
      frame: '{"type":"call_started","task":"t","fence":1,"call":1,"kind":"tool","name":"n","dependency":"a b"}',
    },
    {
      name: 'an error whose dependency is no name',
      frame: '{"type":"failed","task":"t","fence":1,"error":{"name":"E","message":"m","dependency":"../x"}}',
    },
    {
      name: 'a print with a long hash',
      frame: `{"type":"call_ended","task":"t","fence":1,"call":1,"ok":true,"print":{"hash":"${'x'.repeat(129)}","folded":"y","length":1}}`,
    },
    { name: 'tokens below zero', frame: '{"type":"model_called","task":"t","fence":1,"promptTokens":-1}' },
    { name: 'half a token', frame: '{"type":"model_called","task":"t","fence":1,"promptTokens":1.5}' },
    { name: 'a cost beyond sense', frame: '{"type":"model_called","task":"t","fence":1,"usd":1e300}' },
    { name: 'an unknown failure', frame: '{"type":"model_called","task":"t","fence":1,"failure":"__proto__"}' },
  ])('$name is a violation', ({ frame }) => {
    const on = open()
    on.say(`${hello}${frame}\n${pulse}`)
    expect(on.violation()).not.toBeNull()
    expect(on.count('pulse')).toBe(0)
  })
})

describe('observations', () => {
  function hear(...frames: readonly Record<string, unknown>[]) {
    const on = open()
    on.channel.dispatched('t', 1)
    on.channel.compactAsked('t', 1)
    on.say(hello + frames.map((frame) => `${JSON.stringify({ task: 't', fence: 1, ...frame })}\n`).join(''))
    expect(on.violation()).toBeNull()
    return on.observations.at(-1)
  }
  const call = { type: 'call_started', call: 1, kind: 'tool', name: 'n' }
  const print = { hash: 'h', folded: 'f', length: 3 }

  test.each([
    { name: 'plain', said: {}, seen: { dependency: null, poll: false } },
    { name: 'with a dependency', said: { dependency: 'db' }, seen: { dependency: 'db', poll: false } },
    { name: 'that polls', said: { poll: true }, seen: { dependency: null, poll: true } },
  ])('a call $name', ({ said, seen }) => {
    expect(hear({ ...call, ...said })).toMatchObject({ kind: 'call_started', start: seen })
  })

  test.each([
    { name: 'without a print', said: {}, seen: null },
    { name: 'with one, and nothing besides', said: { print: { ...print, more: 'x' } }, seen: print },
  ])('the end of a call $name', ({ said, seen }) => {
    expect(hear(call, { type: 'call_ended', call: 1, ok: true, ...said })).toMatchObject({ print: seen })
  })

  test('an error keeps its dependency, and its texts are clean', () => {
    const error = { name: 'E', message: 'a secret\u001b[31m', dependency: 'db' }
    const clean = { name: 'E', message: 'a [redacted]', dependency: 'db' }
    expect(hear(call, { type: 'call_ended', call: 1, ok: false, error })).toMatchObject({ error: clean })
    expect(hear({ type: 'compact_failed', error })).toMatchObject({ kind: 'compact_failed', error: clean })
    expect(hear({ type: 'failed', error })).toMatchObject({ kind: 'failed', error: clean })
  })

  test('a model call, where what was not said is null', () => {
    expect(hear({ type: 'model_called' })).toMatchObject({ kind: 'model_called', usage: modelUsage() })
    const said = { provider: 'a secret', model: 'x'.repeat(600), promptTokens: 3, failure: 'rate_limited', more: 1 }
    const seen = hear({ type: 'model_called', ...said })
    const model = 'x'.repeat(limits.noteLength)
    const usage = modelUsage({ provider: 'a [redacted]', model, promptTokens: 3, failure: 'rate_limited' })
    expect(seen?.kind === 'model_called' && seen.usage).toEqual(usage)
  })

  test.each([
    { frame: { type: 'user_turn' }, seen: { kind: 'user_turn' } },
    { frame: { type: 'compacted' }, seen: { kind: 'compacted', tokens: null } },
    { frame: { type: 'compacted', tokens: 9 }, seen: { kind: 'compacted', tokens: 9 } },
    { frame: { type: 'ready', checks: [], resettable: true }, seen: { kind: 'ready', compactable: false } },
    { frame: { type: 'ready', checks: [], resettable: true, compactable: true }, seen: { compactable: true } },
  ])('$frame', ({ frame, seen }) => {
    expect(hear(frame)).toMatchObject(seen)
  })
})

describe('rates', () => {
  test(`${limits.unsolicitedFramesPerSecond} frames a second nobody asked for are read, the next waits for the next second`, () => {
    const on = open()
    on.say(hello + pulse.repeat(limits.unsolicitedFramesPerSecond))
    expect(on.count('pulse')).toBe(limits.unsolicitedFramesPerSecond - 1) // Hello counts, too.
    expect(on.stream.isPaused()).toBe(true)
    on.passSecond()
    expect(on.stream.isPaused()).toBe(false)
    expect(on.count('pulse')).toBe(limits.unsolicitedFramesPerSecond + 1) // And one for the silence we caused.
  })

  test.each([
    { seconds: limits.floodSeconds - 1, broken: false },
    { seconds: limits.floodSeconds, broken: true },
  ])('$seconds flooded seconds in a row', ({ seconds, broken }) => {
    const on = open()
    on.say(hello)
    for (let second = 0; second < seconds; second += 1) {
      on.say(pulse.repeat(limits.unsolicitedFramesPerSecond + 10))
      on.passSecond()
    }
    expect(on.violation() !== null).toBe(broken)
  })

  test('a calm second in between starts the count anew', () => {
    const on = open()
    on.say(hello)
    for (let round = 0; round < 3; round += 1) {
      for (let second = 0; second < limits.floodSeconds - 2; second += 1) {
        on.say(pulse.repeat(limits.unsolicitedFramesPerSecond + 1))
        on.passSecond()
      }
      for (let calm = 0; calm < 3; calm += 1) on.passSecond()
      on.say(pulse)
    }
    expect(on.violation()).toBeNull()
  })

  test('ten log frames weigh as much as one, and only so many are kept', () => {
    const on = open()
    on.say(hello + log.repeat(9_000))
    expect(on.stream.isPaused()).toBe(false)
    expect(on.logs).toHaveLength(limits.logLinesPerSecond)
  })

  test.each([
    { work: '{"type":"progress","task":"t","fence":1,"note":"n"}\n' },
    { work: '{"type":"model_called","task":"t","fence":1}\n' },
    { work: '{"type":"user_turn","task":"t","fence":1}\n' },
  ])('work of a dispatched attempt is slowed down, never a violation: $work', ({ work }) => {
    const on = open()
    on.channel.dispatched('t', 1)
    on.say(hello)
    for (let second = 1; second <= 2 * limits.floodSeconds; second += 1) {
      on.say(work.repeat(limits.attemptFramesPerSecond + 1))
      expect(on.stream.isPaused()).toBe(true)
      on.passSecond()
    }
    expect(on.violation()).toBeNull()
  })

  test('strays are dropped, counted, and weigh like anything nobody asked for', () => {
    const on = open()
    on.say(hello + '{"type":"done","task":"t","fence":1,"output":1}\n'.repeat(limits.unsolicitedFramesPerSecond))
    expect(on.channel.strays).toBe(limits.unsolicitedFramesPerSecond - 1)
    expect(on.count('done')).toBe(0)
    expect(on.stream.isPaused()).toBe(true)
  })

  test('a full inbox stops reading; what comes first afterwards is preceded by a pulse', () => {
    const on = open()
    on.say(hello)
    on.inbox.full = true
    on.say('{"type":"pong","ping":1}\n')
    expect(on.observations).toEqual([])
    on.inbox.full = false
    on.channel.resume()
    expect(on.observations.map(({ kind }) => kind)).toEqual(['pulse', 'pong'])
  })

  test('after the death everything that is there is read, whatever the rate', () => {
    const on = open()
    on.channel.dispatched('t', 1)
    on.say(hello + pulse.repeat(limits.unsolicitedFramesPerSecond + 5))
    on.say('{"type":"done","task":"t","fence":1,"output":1}\n')
    expect(on.count('done')).toBe(0)
    on.channel.finish()
    expect(on.count('done')).toBe(1)
  })

  test.each([
    { seconds: limits.halfFrameSeconds, broken: false },
    { seconds: limits.halfFrameSeconds + 1, broken: true },
  ])('half a frame for $seconds looks', ({ seconds, broken }) => {
    const on = open()
    on.say(`${hello}{"ty`)
    for (let second = 0; second < seconds; second += 1) on.channel.everySecond()
    expect(on.violation() !== null).toBe(broken)
  })

  test('half a frame to which something is added is none', () => {
    const on = open()
    on.say(hello)
    for (let second = 0; second < 5 * limits.halfFrameSeconds; second += 1) {
      on.say('x')
      on.channel.everySecond()
    }
    expect(on.violation()).toBeNull()
  })
})

describe('sending', () => {
  test('the frames of one turn go out in one write', async () => {
    const on = open()
    on.channel.send({ type: 'ping', leaseMs: 1, ping: 1 })
    on.channel.send({ type: 'ping', leaseMs: 1, ping: 2 })
    await Promise.resolve()
    expect(on.written).toEqual(['{"type":"ping","leaseMs":1,"ping":1}\n{"type":"ping","leaseMs":1,"ping":2}\n'])
  })

  test('after a violation nothing is read and nothing is sent, and it is said once', async () => {
    const on = open()
    on.say('x\ny\n')
    on.say('z\n')
    on.channel.send({ type: 'lease', leaseMs: 1 })
    await Promise.resolve()
    expect(on.observations).toHaveLength(1)
    expect(on.written).toEqual([])
    expect(on.stream.isPaused()).toBe(true)
  })
})
