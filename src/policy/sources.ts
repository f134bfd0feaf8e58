import type { AttemptObservation } from '../model/observation.ts'
import type { Sources } from '../model/rows.ts'

export const noSources: Sources = { gateway: false, tools: false, callIds: [] }

/** Model calls of an attempt remembered by the provider's id: the agent tells one soon after it has the answer. */
const callIdsKept = 32

/**
 * Whether it says what is known already. The gateway sees every model call that
 * comes through it, so what the agent tells besides is the same call: by the
 * provider's id, and where it gives none by the gateway having seen any. Tool
 * calls that the agent tells itself are told sooner and better than by its next
 * request to the model.
 */
export function isRepeat({ gateway, tools, callIds }: Sources, observation: AttemptObservation): boolean {
  switch (observation.kind) {
    case 'model_called': {
      const { callId } = observation.usage
      if (callId !== null && callIds.includes(callId)) return true
      return observation.via === 'agent' && callId === null && gateway
    }
    case 'tool_seen':
      return tools
    default:
      return false
  }
}

export function foldSources(sources: Sources, observation: AttemptObservation): Sources {
  switch (observation.kind) {
    case 'model_called': {
      const { callId } = observation.usage
      const isNew = callId !== null && !sources.callIds.includes(callId)
      const callIds = isNew ? [...sources.callIds, callId].slice(-callIdsKept) : sources.callIds
      return { ...sources, gateway: sources.gateway || observation.via === 'gateway', callIds }
    }
    case 'call_started':
      return observation.start.kind === 'tool' && !sources.tools ? { ...sources, tools: true } : sources
    default:
      return sources
  }
}
