import { expect, test } from 'vitest'
import { newIncident } from '../../test/contract/store-fixtures.ts'
import type { Change } from '../model/change.ts'
import type { Notice } from '../model/event.ts'
import { limits } from '../model/limits.ts'
import { Teller } from './telling.ts'

const audiences = [{ name: 'pager', minimum: 'warning' }] as const
const letterhead = { owners: new Map(), redact: (text: string) => text }

function teller(onNews: () => void = () => undefined, to: readonly (typeof audiences)[number][] = audiences): Teller {
  return new Teller(to, letterhead, onNews)
}

function news(id: string, status: 'open' | 'closed', change: 'opened' | 'changed' | 'closed'): Notice {
  return { kind: 'incident', incident: newIncident(id, { status }), severity: 'warning', change, atMs: 1_000 }
}

const failed: Notice = { kind: 'node', severity: 'critical', text: 'the store failed', atMs: 1_000 }

function saidBy(changes: readonly Change[] = []): readonly string[] {
  return changes.flatMap((change) =>
    change.kind === 'notification' ? change.deliveries.map(({ notification }) => notification.change) : [],
  )
}

test('what one decision of a batch tells, the next one of it knows', () => {
  const proposal = teller().propose([
    [news('i', 'open', 'opened')],
    [],
    [news('i', 'open', 'changed')],
    [news('i', 'closed', 'closed')],
  ])
  expect(proposal.map((lesson) => saidBy(lesson?.changes))).toEqual([['opened'], [], [], ['resolved']])
})

test('nothing is known before it is committed', () => {
  const one = teller()
  one.propose([[news('i', 'open', 'opened')], [failed]])
  const again = one.propose([[news('i', 'open', 'opened')], [failed]])
  expect(again.map((lesson) => saidBy(lesson?.changes))).toEqual([['opened'], ['opened']])
  one.accept(again, ['applied', 'applied'])
  const third = one.propose([[news('i', 'closed', 'closed')], [failed]])
  expect(third.map((lesson) => saidBy(lesson?.changes))).toEqual([['resolved'], []])
})

test('what a refused decision would have told is told with the next news', () => {
  let rings = 0
  const one = teller(() => {
    rings += 1
  })
  one.accept(one.propose([[news('i', 'open', 'opened')]]), ['stale'])
  expect(rings).toBe(0)
  const next = one.propose([[news('i', 'open', 'changed')]])
  expect(saidBy(next[0]?.changes)).toEqual(['opened'])
  one.accept(next, ['applied'])
  expect(rings).toBe(1)
})

test('what the last supervisor told is not told again', () => {
  const one = teller()
  const proposal = one.propose([[news('i', 'open', 'opened')]])
  const [change] = proposal[0]?.changes ?? []
  const next = teller()
  if (change?.kind === 'notification' && change.told !== null) next.restore([change.told])
  expect(next.propose([[news('i', 'closed', 'closed')]]).map((lesson) => saidBy(lesson?.changes))).toEqual([
    ['resolved'],
  ])
})

test('without notifiers nothing is proposed, and nothing need be written', () => {
  const nobody = teller(() => undefined, [])
  expect(nobody.propose([[news('i', 'open', 'opened')]])).toEqual([])
  expect(nobody.wants([failed])).toBe(false)
  expect(teller().wants([failed])).toBe(true)
  expect(teller().wants([{ ...failed, severity: 'warning' }])).toBe(false)
})

test('what is told from memory is bounded, and so is what is remembered of the node', () => {
  const one = teller()
  for (let at = 0; at < limits.pressingNotifications + 3; at++) one.press({ ...failed, text: 'x'.repeat(at + 1) })
  const seen: string[] = []
  for (let next = one.pressing('pager'); next !== null; next = one.pressing('pager')) {
    seen.push(next.title)
    one.release('pager', next.id)
  }
  expect(seen.map((title) => title.length)).toEqual(
    Array.from({ length: limits.pressingNotifications }, (_, at) => at + 4),
  )
  for (let at = 0; at < limits.nodeAlertsRemembered; at++) one.press({ ...failed, text: `${'y'.repeat(at + 1)}` })
  one.press({ ...failed, text: 'x' })
  expect(one.pressing('pager')).not.toBeNull()
  one.press({ ...failed, text: 'y'.repeat(limits.nodeAlertsRemembered) })
  const titles: string[] = []
  for (let next = one.pressing('pager'); next !== null; next = one.pressing('pager')) {
    titles.push(next.title)
    one.release('pager', next.id)
  }
  expect(titles.at(-1), 'the forgotten one is told anew, the newest is not').toBe('x')
})
