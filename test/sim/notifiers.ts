import type { Notification, NotifierSpec } from '../../src/model/notification.ts'
import { chanceOf } from '../../src/policy/backoff.ts'

/** Who is told in every simulation: one of everything, one as a pager is by default. */
export const notify: readonly NotifierSpec[] = [
  { kind: 'log', name: 'log', minimum: 'info', timeoutMs: 5_000 },
  {
    ...{ kind: 'webhook', name: 'webhook', minimum: 'warning', timeoutMs: 5_000 },
    ...{ url: 'https://pager.example', secret: 'a secret of the pager', allowPrivate: false },
  },
]

export type SimulatedAnswer = 'sent' | 'retry' | 'hangs' | 'lost'

/** How the receiver takes one try. Drawn from the message and the moment, so that it disturbs no other lot. */
export function answerOf({ id }: Notification, atMs: number): SimulatedAnswer {
  const chance = chanceOf(`${id} ${atMs}`)
  if (chance < 0.05) return 'hangs'
  if (chance < 0.15) return 'retry'
  // It has it, and we are not told: it will see the same again.
  return chance < 0.2 ? 'lost' : 'sent'
}
