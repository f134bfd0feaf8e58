import type { TaskId } from '../../src/model/ids.ts'
import type { TaskView } from '../../src/model/task.ts'
import { ActingChecker } from './checkers/acting.ts'
import { AlarmChecker } from './checkers/alarm.ts'
import { BreakerChecker } from './checkers/breaker.ts'
import { checkEnd, EvidenceChecker } from './checkers/evidence.ts'
import { LadderChecker } from './checkers/ladder.ts'
import { LedgerChecker } from './checkers/ledger.ts'
import { nothingKnown, OutageChecker } from './checkers/outage.ts'
import { Places } from './checkers/places.ts'
import { ReplicaChecker } from './checkers/replicas.ts'
import { SeveredChecker } from './checkers/severed.ts'
import { TellingChecker } from './checkers/telling.ts'
import { WrongKillChecker } from './checkers/wrong-kill.ts'
import type { Scenario } from './scenario.ts'
import type { Checker, Trace } from './trace.ts'

export interface Checkers {
  /** In the order in which they see an event. */
  readonly all: readonly Checker[]
  readonly end: (taskId: TaskId, task: TaskView | null) => void
  /** What still waits for a notifier at the end, by id. */
  readonly outbox: (notifier: string, waiting: ReadonlySet<string>) => void
}

export function createCheckers(trace: Trace, scenario: Scenario): Checkers {
  const ledger = new LedgerChecker(trace)
  const telling = new TellingChecker(trace, 'webhook')
  const places = new Places(scenario.pools, ledger)
  const outages = scenario.dependencies.map((spec) => new OutageChecker(trace, scenario, spec))
  return {
    all: [
      // Before the ledger: they compare a batch with what was true before it.
      new ActingChecker(trace, ledger),
      new EvidenceChecker(trace, ledger, places),
      new LadderChecker(trace, scenario.pools),
      ledger,
      places,
      new ReplicaChecker(trace, ledger, scenario.pools),
      new WrongKillChecker(trace, ledger, places, scenario),
      telling,
      new AlarmChecker(trace, scenario.pools, 'webhook'),
      ...outages,
      ...scenario.dependencies.map((spec) => new BreakerChecker(trace, ledger, scenario.pools, spec)),
      new SeveredChecker(trace, scenario.pools),
    ],
    outbox: (notifier, waiting) => telling.end(notifier, waiting),
    end: (taskId, task) => {
      const refunds = outages.map((outage) => outage.refunds(taskId))[0] ?? nothingKnown
      checkEnd(trace, scenario.pools, taskId, task, refunds)
    },
  }
}
