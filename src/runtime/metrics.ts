/** Every metric there is. Labels are bounded: never a task id, never free text. */
export interface MetricDefinition {
  readonly name: string
  readonly kind: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels: readonly string[]
  readonly buckets?: readonly number[]
}

const seconds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800] as const

export const metrics = [
  {
    name: 'agent_active_tasks',
    kind: 'gauge',
    help: 'Tasks that replicas of the pool have in hand.',
    labels: ['pool'],
  },
  { name: 'agent_queue_depth', kind: 'gauge', help: 'Tasks that wait for a replica.', labels: ['pool'] },
  { name: 'prunella_replicas', kind: 'gauge', help: 'Replicas by phase.', labels: ['pool', 'phase'] },
  {
    name: 'prunella_tasks_total',
    kind: 'counter',
    help: 'Attempts that ended, by outcome.',
    labels: ['pool', 'outcome'],
  },
  {
    name: 'prunella_task_seconds',
    kind: 'histogram',
    help: 'Running time of attempts.',
    labels: ['pool'],
    buckets: seconds,
  },
  {
    name: 'prunella_recoveries_total',
    kind: 'counter',
    help: 'Recovery actions.',
    labels: ['pool', 'action', 'fault'],
  },
  { name: 'prunella_incidents_open', kind: 'gauge', help: 'Incidents that are not closed.', labels: ['pool'] },
  {
    name: 'prunella_incidents_total',
    kind: 'counter',
    help: 'Incidents opened.',
    labels: ['pool', 'fault', 'culprit'],
  },
  {
    name: 'prunella_detection_seconds',
    kind: 'histogram',
    help: 'First sign to verdict.',
    labels: ['fault'],
    buckets: seconds,
  },
  {
    name: 'prunella_recovery_seconds',
    kind: 'histogram',
    help: 'Verdict to recovery.',
    labels: ['fault'],
    buckets: seconds,
  },
  { name: 'prunella_dependency_up', kind: 'gauge', help: '1 when the last check succeeded.', labels: ['dependency'] },
  { name: 'prunella_hold', kind: 'gauge', help: '1 while the pool is held.', labels: ['pool'] },
  {
    name: 'prunella_notifications_total',
    kind: 'counter',
    help: 'Tries to notify, by outcome: sent, retried, rejected, given_up.',
    labels: ['kind', 'outcome'],
  },
  {
    name: 'prunella_notifications_waiting',
    kind: 'gauge',
    help: 'Notifications in the outbox that wait for the notifier.',
    labels: ['notifier'],
  },
  {
    name: 'prunella_supervisor_lag_seconds',
    kind: 'gauge',
    help: 'Worst delay of the control loop in the last ten seconds.',
    labels: [],
  },
  {
    name: 'prunella_supervisor_last_sweep_timestamp_seconds',
    kind: 'gauge',
    help: 'When the control loop last ran.',
    labels: [],
  },
] as const satisfies readonly MetricDefinition[]
