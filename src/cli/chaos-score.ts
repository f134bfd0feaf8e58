import { type ChaosFault, chaosTable } from '../model/chaos.ts'
import { isFinal } from '../model/task.ts'
import type { WireIncident, WireInjection, WireTask } from './wire.ts'

/** Everything that is known of one injected fault when it is over. */
export interface Trial {
  readonly injection: WireInjection
  /** Of its pool, and those that concern several pools, since it struck. */
  readonly incidents: readonly WireIncident[]
  /** The tasks that were submitted for it; null: it struck the pool's own work, which nobody here follows. */
  readonly tasks: readonly WireTask[] | null
  /** It was still not over when patience ran out. */
  readonly gaveUp: boolean
}

/** One line of the scorecard. Times in ms; null: it did not happen, or does not apply. */
export interface Score {
  readonly fault: ChaosFault
  readonly victims: readonly string[]
  /** From the strike to the verdict. */
  readonly noticedMs: number | null
  /** From the strike to the proof of recovery; for a fault that lasts, from its end. */
  readonly recoveredMs: number | null
  /** Tasks that did not end as they should; null: nobody counted. */
  readonly lost: number | null
  /** Tasks for which two results were accepted. What an agent does outside of its steps is not seen. */
  readonly doneTwice: number | null
  /** Actions that are wrong for this fault, or that hit somebody else. */
  readonly wrongActions: readonly string[]
  /** `kind/culprit` of what it was taken for, in order. */
  readonly verdicts: readonly string[]
  /** What is not as it should be, in words; empty: all is well. */
  readonly wrong: readonly string[]
}

export function scoreOf({ injection, incidents, tasks, gaveUp }: Trial): Score {
  const { fault, strikes } = injection
  const { verdict } = chaosTable[fault]
  const struckMs = strikes[0] === undefined ? null : Date.parse(strikes[0].at)
  const victims = [...new Set(strikes.flatMap(({ replica }) => replica ?? []))]
  const right = incidents.filter((incident) => isRight(fault, incident))
  const isNoticed = struckMs !== null && right.length > 0
  const noticedMs = isNoticed ? Math.min(...right.map((incident) => noticedAt(incident, struckMs))) - struckMs : null
  const recovered = struckMs === null ? null : recoveredAt(incidents)
  const endMs = (struckMs ?? 0) + (chaosTable[fault].place === 'dependency' ? (injection.forMs ?? 0) : 0)
  const wrongActions = wrongOf(injection, incidents)
  const verdicts = [...new Set(incidents.map((incident) => `${incident.fault.kind}/${incident.fault.culprit}`))]
  const lost = tasks === null ? null : tasks.filter((task) => !endedWell(task, injection)).length
  const doneTwice = tasks === null ? null : tasks.filter((task) => results(task) > 1).length
  const recoveredMs = recovered === null ? null : recovered - endMs
  const wrong = [
    ...(struckMs === null ? ['it never struck: no task came to its replica'] : []),
    ...(struckMs !== null && verdict !== null && !isNoticed ? ['it was not noticed for what it is'] : []),
    ...strangers(fault, incidents).map((name) => `taken for ${name}`),
    ...(gaveUp ? ['it was not over in time'] : []),
    ...(lost ? [`${lost} lost`] : []),
    ...(doneTwice ? [`${doneTwice} done twice`] : []),
    ...wrongActions.map((action) => `wrong: ${action}`),
  ]
  return { fault, victims, noticedMs, recoveredMs, lost, doneTwice, wrongActions, verdicts, wrong }
}

/** Whether there is nothing more to wait for. */
export function isHealed({ injection, incidents }: Pick<Trial, 'injection' | 'incidents'>, nowMs: number): boolean {
  const [first] = injection.strikes
  if (first === undefined) return false
  const { verdict } = chaosTable[injection.fault]
  if (verdict === null) return nowMs >= Date.parse(first.at) + (injection.forMs ?? 0)
  return incidents.some((one) => isRight(injection.fault, one)) && recoveredAt(incidents) !== null
}

function isRight(fault: ChaosFault, { fault: { kind, culprit } }: WireIncident): boolean {
  const { verdict } = chaosTable[fault]
  return verdict?.kinds.includes(kind) === true && verdict.culprits.includes(culprit)
}

/** An incident that was there before (in its probation, say) was taken up again with its next action. */
function noticedAt({ detectedAt, actions }: WireIncident, struckMs: number): number {
  const times = [detectedAt, ...actions.map(({ at }) => at)].map((at) => Date.parse(at))
  return Math.min(...times.filter((at) => at >= struckMs))
}

/** What it was taken for and is not, nor on the way there. */
function strangers(fault: ChaosFault, incidents: readonly WireIncident[]): readonly string[] {
  const along = chaosTable[fault].verdict?.along ?? []
  const strange = incidents.filter((incident) => !isRight(fault, incident) && !along.includes(incident.fault.kind))
  return [...new Set(strange.map(({ fault: { kind, culprit } }) => `${kind}/${culprit}`))]
}

/** When the last of them was in order again; null while one is not, and when there is none. */
function recoveredAt(incidents: readonly WireIncident[]): number | null {
  const times = incidents.map(({ recoveredAt: at }) => (at === null ? Number.NaN : Date.parse(at)))
  const last = times.length === 0 ? Number.NaN : Math.max(...times)
  return Number.isNaN(last) ? null : last
}

function wrongOf({ fault, strikes }: WireInjection, incidents: readonly WireIncident[]): readonly string[] {
  const right: readonly string[] = chaosTable[fault].actions
  const since = Date.parse(strikes[0]?.at ?? '')
  const hit = (replica: string | null): boolean =>
    replica === null || strikes.some((strike) => strike.replica === replica)
  return incidents
    .flatMap(({ actions }) => actions)
    .filter(({ kind, replica, at }) => Date.parse(at) >= since && !(right.includes(kind) && hit(replica)))
    .map(({ kind, replica }) => (replica === null ? kind : `${kind} of ${replica}`))
}

function endedWell(task: WireTask, { fault, strikes }: WireInjection): boolean {
  const isStruck = strikes.some((strike) => strike.task === task.id)
  return task.status === (isStruck ? chaosTable[fault].task : 'done')
}

/** Attempts whose result was accepted. */
function results({ attempts }: WireTask): number {
  return attempts.filter(({ outcome }) => outcome === 'done').length
}

export function isOver(task: WireTask): boolean {
  return isFinal(task.status)
}
