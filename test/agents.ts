import { afterEach } from 'vitest'
import { agentFixture, FakeSupervisor, type FakeSupervisorOptions } from './fake-supervisor.ts'
import { until } from './until.ts'

let agents: FakeSupervisor[] = []

/** For every test file that starts agents: none outlives its test. */
export function killAgentsAfterEach(): void {
  afterEach(() => {
    for (const agent of agents) agent.kill()
    agents = []
  })
}

export function start(file: string, options?: FakeSupervisorOptions): FakeSupervisor {
  const agent = FakeSupervisor.module(agentFixture(file), options)
  agents.push(agent)
  return agent
}

export const actor = (options?: FakeSupervisorOptions): Promise<FakeSupervisor> => start('actor.ts', options).ready()

/** What the agent printed, once there are this many lines. */
export const lines = (agent: FakeSupervisor, count: number): Promise<string[]> =>
  until(() => (agent.stdout.split('\n').length > count ? agent.stdout.trim().split('\n') : null), {
    timeoutMs: 5_000,
    what: `${count} lines of output`,
  })
