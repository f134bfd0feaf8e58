import type { Culprit } from '../../src/model/fault.ts'
import type { Incident } from '../../src/model/incident.ts'
import { allKinds } from './attribution-kinds.ts'

type AnyKind = keyof typeof allKinds

/** `nobody`: no incident accused anybody. */
export type Verdict = Culprit | 'nobody'
export const verdicts = [
  'agent',
  'task',
  'dependency',
  'node',
  'unknown',
  'nobody',
] as const satisfies readonly Verdict[]

/** An incident over its whole life, as the ledger had it. */
export interface Course {
  readonly id: string
  readonly first: Culprit
  readonly last: Culprit
  /** From the injection to the first verdict, and to the one that stood in the end, ms. */
  readonly firstMs: number
  readonly lastMs: number
  /** For people: kind, subject and why. */
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
  readonly courses: readonly Course[]
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
    return { kind, seed, verdict, first: verdict, tookMs: null, courses }
  }
  return {
    ...{ kind, seed, courses },
    verdict: (courses.find(({ last }) => last !== truth) ?? earliest).last,
    first: earliest.first,
    tookMs: Math.max(...courses.map(({ lastMs }) => lastMs)),
  }
}

export function isRight({ kind, verdict }: Trial): boolean {
  const { truth, told } = allKinds[kind]
  return verdict === truth || (told === 'silence' && verdict === 'nobody')
}
