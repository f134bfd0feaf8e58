import type { Culprit } from '../../src/model/fault.ts'
import type { Incident } from '../../src/model/incident.ts'
import { allKinds } from './attribution-kinds.ts'

type AnyKind = keyof typeof allKinds

/** `nobody`: no incident accused anybody. `not done`: the fault could not be injected, or the node failed under it. */
export type Verdict = Culprit | 'nobody' | 'not done'
export const culprits = ['agent', 'task', 'dependency', 'node', 'unknown'] as const satisfies readonly Culprit[]
export const verdicts: readonly Verdict[] = [...culprits, 'nobody', 'not done']

/** An incident over its whole life, as the ledger had it. */
export interface Course {
  readonly id: string
  readonly first: Culprit
  readonly last: Culprit
  /** From the injection to the first verdict, and to the one that stood in the end, ms. */
  readonly firstMs: number
  readonly lastMs: number
  /** Subject, kind and why. */
  readonly words: string
}

/** What became of one injection. */
export interface Trial {
  readonly kind: AnyKind
  readonly seed: number
  readonly verdict: Verdict
  readonly first: Verdict
  /** From the injection until every verdict stood, ms; null where nobody was accused. */
  readonly tookMs: number | null
  /** Of each incident, for people. */
  readonly words: readonly string[]
}

/** What of an incident is looked at. */
export type Told = Pick<Incident, 'id' | 'fault'> & {
  readonly replica: string | null
  readonly taskId: string | null
  readonly timeline: readonly { readonly kind: string; readonly text: string }[]
}

/** Follows incidents through their versions, in the order in which they were written. */
export class Courses {
  private readonly all = new Map<string, Course>()

  see(incident: Told, sinceMs: number, atMs: number): void {
    const { culprit } = incident.fault
    const before = this.all.get(incident.id)
    const tookMs = atMs - sinceMs
    this.all.set(incident.id, {
      id: incident.id,
      first: before?.first ?? culprit,
      firstMs: before?.firstMs ?? tookMs,
      last: culprit,
      lastMs: before?.last === culprit ? before.lastMs : tookMs,
      words: wordsOf(incident),
    })
  }

  get list(): readonly Course[] {
    return [...this.all.values()]
  }
}

function wordsOf({ fault, replica, taskId, timeline }: Told): string {
  const verdict = timeline.findLast(({ kind }) => kind === 'verdict')?.text ?? fault.evidence[0]
  return `${replica ?? taskId ?? 'pool'}: ${fault.kind}, ${fault.culprit} (${verdict})`
}

/** @param charged  Where the verdict stands in the ledger: whether the task was charged for its failures. */
export function trialOf(kind: AnyKind, seed: number, courses: readonly Course[], charged: boolean): Trial {
  const { truth, told } = allKinds[kind]
  const [earliest] = courses
  if (earliest === undefined) {
    const verdict = told === 'ledger' && charged ? 'task' : 'nobody'
    return { kind, seed, verdict, first: verdict, tookMs: null, words: [] }
  }
  return {
    ...{ kind, seed, words: courses.map(({ words }) => words) },
    verdict: (courses.find(({ last }) => last !== truth) ?? earliest).last,
    first: earliest.first,
    tookMs: Math.max(...courses.map(({ lastMs }) => lastMs)),
  }
}

export function failedTrial(kind: AnyKind, seed: number, error: unknown): Trial {
  const words = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { kind, seed, verdict: 'not done', first: 'not done', tookMs: null, words: [words] }
}

export function isRight({ kind, verdict }: Trial): boolean {
  const { truth, told } = allKinds[kind]
  return verdict === truth || (told === 'silence' && verdict === 'nobody')
}
