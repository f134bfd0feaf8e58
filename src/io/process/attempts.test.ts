import { describe, expect, test } from 'vitest'
import type { AgentFrame } from '../../protocol/frames.ts'
import { Attempts } from './attempts.ts'

type Frame = Extract<AgentFrame, { readonly fence: number }>
const of = { task: 't', fence: 1 }
const error = { name: 'Error', message: 'x' }
const done: Frame = { type: 'done', ...of, output: 1 }
const failed: Frame = { type: 'failed', ...of, error }
const started: Frame = { type: 'started', ...of }
const progress: Frame = { type: 'progress', ...of, note: '' }
const resetOk: Frame = { type: 'reset_ok', ...of }
const expired: Frame = { type: 'lease_expired', ...of }
const callStarted = (call: number): Frame => ({ type: 'call_started', ...of, call, kind: 'tool', name: 'n' })
const compacted: Frame = { type: 'compacted', ...of, tokens: 1 }
const compactFailed: Frame = { type: 'compact_failed', ...of, error }
const modelCalled: Frame = { type: 'model_called', ...of }
const userTurn: Frame = { type: 'user_turn', ...of }
const callEnded = (call: number): Frame => ({ type: 'call_ended', ...of, call, ok: true })

const verdicts = (frames: readonly Frame[], prepare: (attempts: Attempts) => void) => {
  const attempts = new Attempts()
  prepare(attempts)
  return frames.map((frame) => (attempts.accept(frame) === 'expected' ? '+' : '-')).join('')
}
const dispatched = (attempts: Attempts) => attempts.dispatched('t', 1)

describe('credit', () => {
  test.each([
    { name: 'a whole attempt', frames: [started, callStarted(1), progress, callEnded(1), done], verdict: '+++++' },
    { name: 'done twice', frames: [done, done], verdict: '+-' },
    { name: 'failed after done', frames: [done, failed], verdict: '+-' },
    { name: 'started twice', frames: [started, started], verdict: '+-' },
    { name: 'expired twice', frames: [expired, expired, done], verdict: '+-+' },
    { name: 'the same call started twice', frames: [callStarted(1), callStarted(1)], verdict: '+-' },
    { name: 'a call ended that was not started', frames: [callEnded(1)], verdict: '-' },
    { name: 'a call ended twice', frames: [callStarted(1), callEnded(1), callEnded(1)], verdict: '++-' },
    { name: 'work after the end', frames: [done, progress, callStarted(1), started, expired], verdict: '+----' },
    { name: 'a reset nobody asked for', frames: [resetOk, done], verdict: '-+' },
    {
      name: 'model calls and user turns, any number',
      frames: [modelCalled, modelCalled, userTurn, userTurn],
      verdict: '++++',
    },
    { name: 'the same after the end', frames: [done, modelCalled, userTurn], verdict: '+--' },
    { name: 'a compaction nobody asked for', frames: [compacted, compactFailed, done], verdict: '--+' },
    { name: 'an older fence', frames: [{ ...done, fence: 0 }, done], verdict: '-+' },
    { name: 'another task', frames: [{ ...done, task: 'u' }, done], verdict: '-+' },
  ])('$name', ({ frames, verdict }) => {
    expect(verdicts(frames, dispatched)).toBe(verdict)
  })

  test('nothing was dispatched: everything is stray', () => {
    expect(verdicts([started, done, resetOk, progress], () => undefined)).toBe('----')
  })

  test.each([
    { name: 'a done and a reset that cross', frames: [done, resetOk, resetOk], verdict: '++-' },
    { name: 'a reset ends the attempt', frames: [resetOk, done], verdict: '+-' },
  ])('$name', ({ frames, verdict }) => {
    expect(
      verdicts(frames, (attempts) => {
        dispatched(attempts)
        attempts.resetAsked('t', 1)
      }),
    ).toBe(verdict)
  })

  test('a reset of an attempt this process never had is answered once', () => {
    expect(verdicts([resetOk, resetOk], (attempts) => attempts.resetAsked('t', 1))).toBe('+-')
  })

  test.each([
    { name: 'answered once', frames: [compacted, compacted, compactFailed], asked: 1, verdict: '+--' },
    { name: 'asked twice before the answer: still once', frames: [compactFailed, compacted], asked: 2, verdict: '+-' },
    { name: 'after the end it is not answered', frames: [done, compacted], asked: 1, verdict: '+-' },
  ])('a compaction: $name', ({ frames, asked, verdict }) => {
    const ask = (attempts: Attempts) => {
      dispatched(attempts)
      for (let time = 0; time < asked; time += 1) attempts.compactAsked('t', 1)
    }
    expect(verdicts(frames, ask)).toBe(verdict)
  })

  test('a compaction of an attempt this process never had earns nothing, and is not kept', () => {
    const attempts = new Attempts()
    attempts.compactAsked('t', 1)
    expect(attempts.accept(compacted)).toBe('stray')
    expect(attempts.size).toBe(0)
  })

  test('what is over is forgotten', () => {
    const attempts = new Attempts()
    dispatched(attempts)
    attempts.resetAsked('t', 1)
    attempts.accept(done)
    expect(attempts.size).toBe(1)
    attempts.accept(resetOk)
    expect(attempts.size).toBe(0)
  })

  test('10,000 open calls are allowed, one more is not', () => {
    const attempts = new Attempts()
    dispatched(attempts)
    for (let call = 1; call <= 10_000; call += 1) expect(attempts.accept(callStarted(call))).toBe('expected')
    expect(attempts.accept(callStarted(10_001))).toBe('too_many_calls')
  })
})
