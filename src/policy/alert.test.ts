import { describe, expect, test } from 'vitest'
import type { Notice } from '../model/event.ts'
import type { Incident, IncidentStatus, Severity } from '../model/incident.ts'
import { limits } from '../model/limits.ts'
import type { LastTold, Told } from '../model/notification.ts'
import { createRedact } from '../model/redact.ts'
import { hear, nodeAlertKey, owningUp, quietMs, tellIncident, tellNode } from './alert.ts'

type IncidentNotice = Extract<Notice, { readonly kind: 'incident' }>

const startMs = 1_000_000

function incident(status: IncidentStatus, more: Partial<Incident> = {}): Incident {
  return {
    ...{ id: 'inc-1', pool: 'support', replica: 'support/3', taskId: null, status, actions: [], timeline: [] },
    ...{ fault: { kind: 'crashed', culprit: 'agent', evidence: ['exit code 1'] }, firstSignMs: 0, detectedMs: 0 },
    ...{ dependency: null, verdict: null, recoveredMs: null, closedMs: null, ...more },
  }
}

function notice(
  severity: Severity,
  status: IncidentStatus,
  change: IncidentNotice['change'] = 'changed',
  atMs = startMs,
): IncidentNotice {
  return { kind: 'incident', incident: incident(status), severity, change, atMs }
}

const known: LastTold = { sequence: 1, severity: 'warning', toldMs: { 'warning/open': startMs }, heldBack: 0 }

describe('what one audience is told', () => {
  test.each([
    { name: 'as loud as its minimum: opened', news: notice('warning', 'open', 'opened'), says: ['opened'] },
    { name: 'quieter: nothing', news: notice('info', 'open', 'opened'), says: [] },
    { name: 'louder: opened', news: notice('critical', 'needs_review', 'opened'), says: ['opened'] },
    { name: 'it grew loud enough later: opened for this one', news: notice('warning', 'open'), says: ['opened'] },
    { name: 'over before it was heard of: nothing', news: notice('warning', 'closed', 'closed'), says: [] },
    { name: 'recovered before it was heard of: nothing', news: notice('warning', 'probation', 'recovered'), says: [] },
    {
      name: 'opened and over at once: both',
      news: notice('warning', 'closed', 'opened'),
      says: ['opened', 'resolved'],
    },
  ])('who knows nothing, $name', ({ news, says }) => {
    const heard = hear(null, news, 'warning')
    expect(heard.says).toEqual(says)
    expect(heard.last === null).toBe(!says.includes('opened') || says.includes('resolved'))
  })

  const later = (ms: number, severity: Severity = 'warning', status: IncidentStatus = 'open') =>
    notice(severity, status, 'changed', startMs + ms)

  test.each([
    { name: 'the same again: held back', news: later(1), says: [], heldBack: 1 },
    { name: 'one ms before the quiet period ends', news: later(quietMs - 1), says: [], heldBack: 1 },
    { name: 'when it has ended: changed', news: later(quietMs), says: ['changed'], heldBack: 0 },
    { name: 'louder: changed at once', news: later(1, 'critical'), says: ['changed'], heldBack: 0 },
    { name: 'another status: changed', news: later(1, 'warning', 'needs_review'), says: ['changed'], heldBack: 0 },
    { name: 'quieter than its minimum: not even counted', news: later(1, 'info', 'probation'), says: [], heldBack: 0 },
    { name: 'over, however quiet: resolved', news: notice('info', 'closed', 'closed'), says: ['resolved'] },
  ])('who knows of a warning, $name', ({ news, says, heldBack }) => {
    const heard = hear(known, news, 'warning')
    expect(heard.says).toEqual(says)
    expect(heard.last?.heldBack).toBe(heldBack)
  })

  test('a resolution is as loud as the loudest it was told', () => {
    const critical = hear(known, later(1, 'critical', 'needs_review'), 'warning').last
    const calmer = hear(critical, later(quietMs + 2), 'warning')
    expect(calmer).toMatchObject({ says: ['changed'], severity: 'warning', last: { severity: 'critical' } })
    expect(hear(calmer.last, notice('info', 'closed', 'closed'), 'warning').severity).toBe('critical')
  })

  test('S21: 1,000 crashes of one agent, in and out of probation, are one message and one resolution', () => {
    let last: LastTold | null = null
    const says: string[] = []
    for (let at = 0; at < 1_000; at++) {
      for (const [severity, status, change] of [
        ['warning', 'open', at === 0 ? 'opened' : 'changed'],
        ['info', 'probation', 'recovered'],
      ] as const) {
        const heard = hear(last, notice(severity, status, change, startMs + at), 'warning')
        says.push(...heard.says)
        last = heard.last
      }
    }
    expect(last?.heldBack).toBe(999)
    says.push(...hear(last, notice('info', 'closed', 'closed', startMs + 1_000), 'warning').says)
    expect(says).toEqual(['opened', 'resolved'])
  })
})

const letterhead = { owners: new Map([['support', 'team-care']]), redact: createRedact(['hunter2-canary']) }
const audiences = [
  { name: 'log', minimum: 'info' },
  { name: 'webhook', minimum: 'warning' },
] as const

function tell(before: Told | null, news: IncidentNotice) {
  return tellIncident(before, news, audiences, letterhead)
}

describe('what everybody is told', () => {
  test('each from its own severity on, with a count of its own', () => {
    const soft = tell(null, notice('info', 'open', 'opened'))
    expect(soft?.deliveries.map(({ to, notification }) => [to, notification.change])).toEqual([['log', 'opened']])
    const hard = tell(soft?.told ?? null, notice('warning', 'open', 'changed', startMs + 1))
    expect(hard?.deliveries.map(({ to, notification: { id, change } }) => [to, id, change])).toEqual([
      ['log', 'inc-1.log.2', 'changed'],
      ['webhook', 'inc-1.webhook.1', 'opened'],
    ])
    const over = tell(hard?.told ?? null, notice('info', 'closed', 'closed', startMs + 2))
    expect(over?.deliveries.map(({ notification: { id, change } }) => [id, change])).toEqual([
      ['inc-1.log.3', 'resolved'],
      ['inc-1.webhook.2', 'resolved'],
    ])
    expect(over?.told).toEqual({ incidentId: 'inc-1', notifiers: {} })
    expect(tell(null, notice('info', 'closed', 'closed', startMs + 3))).toBeNull()
  })

  test('what is held back is counted in the next message', () => {
    const first = tell(null, notice('warning', 'open', 'opened'))
    const second = tell(first?.told ?? null, notice('warning', 'open', 'changed', startMs + 1))
    expect(second?.deliveries).toEqual([])
    const third = tell(second?.told ?? null, notice('critical', 'needs_review', 'changed', startMs + 2))
    expect(third?.deliveries[1]?.notification.text).toContain('1 more time(s)')
  })

  test.each([
    { name: 'an open incident', with: incident('open'), commands: ['prunella why inc-1'] },
    {
      name: 'a quarantined replica',
      with: incident('needs_review'),
      commands: ['prunella why inc-1', 'prunella release support/3'],
    },
    {
      name: 'a held pool',
      with: incident('needs_review', { replica: null }),
      commands: ['prunella why inc-1', 'prunella resume support'],
    },
    {
      name: 'a poison task',
      with: incident('closed', {
        ...{ replica: null, taskId: 't1' },
        fault: { kind: 'poison', culprit: 'task', evidence: [] },
      }),
      commands: ['prunella why inc-1', 'prunella retry t1'],
    },
  ])('the commands for $name', ({ with: subject, commands }) => {
    const news = { ...notice('critical', subject.status, 'opened'), incident: subject }
    expect(tell(null, news)?.deliveries[0]?.notification.commands).toEqual(commands)
  })

  test('a quarantine names the incident, the owner, the evidence and asks for review', () => {
    const [delivery] = tell(null, notice('critical', 'needs_review', 'opened'))?.deliveries ?? []
    expect(delivery?.notification).toMatchObject({
      ...{ incidentId: 'inc-1', severity: 'critical', owner: 'team-care', pool: 'support', replica: 'support/3' },
      ...{ title: 'support/3: crashed, opened, needs review', evidence: ['exit code 1'] },
    })
    expect(delivery?.notification.text).toContain('A person must look')
  })

  test('S12, S13: texts leave without secrets and control characters, on one line, bounded', () => {
    const esc = String.fromCharCode(27)
    const evil = `hunter2-canary ${esc}]52;c;aGk=${String.fromCharCode(7)}\r\nforged \u202ereversed sk-abcdefghijklmnopqrst`
    const evidence = [...Array.from({ length: 50 }, () => 'x'.repeat(10_000)), evil]
    const subject = incident('open', { fault: { kind: 'crashed', culprit: 'agent', evidence } })
    const [delivery] = tell(null, { ...notice('warning', 'open', 'opened'), incident: subject })?.deliveries ?? []
    const { evidence: told = [], text = '', title = '' } = delivery?.notification ?? {}
    expect(told).toHaveLength(limits.notificationEvidence)
    expect(told.at(-1)).toBe('[redacted]  ⏎ forged reversed [redacted]')
    for (const each of told) expect(each.length).toBeLessThanOrEqual(limits.noteLength)
    expect(text.length).toBeLessThanOrEqual(limits.errorTextLength)
    expect(JSON.stringify({ told, text, title })).not.toMatch(/canary|sk-abc|\\r|\\n|\\u001b|\u202e/)
  })
})

describe('about the node', () => {
  const news = (severity: Severity, text: string, atMs = startMs) => ({ kind: 'node', severity, text, atMs }) as const

  test.each([
    { severity: 'critical', told: 2 },
    { severity: 'warning', told: undefined },
  ] as const)('$severity: $told are told', ({ severity, told }) => {
    expect(tellNode(null, news(severity, 'the store failed'), audiences, letterhead)?.deliveries.length).toBe(told)
  })

  test.each([
    { name: 'within the quiet period it is held back', ms: quietMs - 1, told: 0 },
    { name: 'after it, told with the count', ms: quietMs, told: 2 },
  ])('$name', ({ ms, told }) => {
    const again = news('critical', 'the store failed', startMs + ms)
    const answer = tellNode({ atMs: startMs, heldBack: 3 }, again, audiences, letterhead)
    expect(answer?.deliveries.length).toBe(told)
    if (told > 0) expect(answer?.deliveries[0]?.notification.text).toContain('3 more time(s)')
    else expect(answer?.told).toEqual({ atMs: startMs, heldBack: 4 })
  })

  test('two texts that differ in figures are one alert; two alerts have two ids', () => {
    expect(nodeAlertKey('paused for 3.2 s')).toBe(nodeAlertKey('paused for 14 s'))
    expect(nodeAlertKey('pool p1: 20 soft')).not.toBe(nodeAlertKey('pool p2: 20 soft'))
    expect(nodeAlertKey('pool eu-1: 20 soft')).not.toBe(nodeAlertKey('pool eu-2: 20 soft'))
    const ids = ['a', 'b'].map(
      (text) => tellNode(null, news('critical', text), audiences, letterhead)?.deliveries[0]?.notification.id,
    )
    expect(new Set(ids).size).toBe(2)
  })

  test('what was dropped is owned up to', () => {
    expect(owningUp('webhook', 7, startMs, letterhead)).toMatchObject({
      ...{ incidentId: null, severity: 'warning', title: '7 notification(s) were dropped' },
    })
  })
})
