import { createCheckers } from './checkers.ts'
import { SimClock } from './clock.ts'
import { createRandom } from './random.ts'
import { basicPool, calmScenario } from './scenario.ts'
import { Trace } from './trace.ts'

/** A trace that all checkers read, over one calm pool: for histories written by hand. */
export function check() {
  const clock = new SimClock(0)
  const trace = new Trace(clock, false)
  const checkers = createCheckers(trace, calmScenario(basicPool('pool', 3, 1), createRandom(1), {}))
  trace.read(checkers.all)
  return { clock, trace, checkers }
}
