import { z } from 'zod'
import {
  type ContextSpec,
  type DetectSpec,
  defaultDetect,
  type LeakSpec,
  type Levels,
  type LoopForm,
  type LoopThresholds,
  type ToolLoopSpec,
} from '../model/detect.ts'
import { parseDuration } from '../model/units.ts'
import { resolveBudget } from './budget.ts'
import { object } from './issue.ts'

/* `pools.NAME.detect`: what people write, and what becomes of it. Defaults and their reasons are in model/detect.ts. */

const loopForms = Object.keys(defaultDetect.toolLoop.thresholds) as [LoopForm, ...LoopForm[]]

const atLeast = z.number().positive()
const levels = object({ note: atLeast.optional(), nudge: atLeast.optional(), act: atLeast.optional() }).refine(
  ({ note = 0, nudge = note, act = nudge }) => note <= nudge && nudge <= act && note <= act,
  { error: 'must rise from note to nudge to act' },
)
const thresholds = object(Object.fromEntries(loopForms.map((form) => [form, levels.optional()])) as LevelsShape)
type LevelsShape = Record<LoopForm, z.ZodOptional<typeof levels>>

const share = z.number().gt(0).max(1)
const leak = object({
  enabled: z.boolean().optional(),
  samples: z.int().min(5).max(20).optional(),
  share: levels.optional(),
  horizon: z
    .custom<string | number>((value) => (parseDuration(value) ?? 0) > 0, {
      error: "must be a duration such as '15s', '5m', '250ms' or milliseconds",
    })
    .transform((value) => parseDuration(value) ?? 0)
    .optional(),
  fullShare: share.nullable().optional(),
})

export const detectSchema = object(
  {
    toolLoop: object({
      enabled: z.boolean().optional(),
      thresholds: thresholds.optional(),
      tools: z
        .record(z.string().min(1), object({ polling: z.boolean().optional(), thresholds: thresholds.optional() }))
        .optional(),
    }).optional(),
    context: object({
      enabled: z.boolean().optional(),
      share: levels.optional(),
      stepsAhead: z.int().min(1).optional(),
      shrinkShare: share.optional(),
    }).optional(),
    budget: object({
      enabled: z.boolean().optional(),
      share: levels.optional(),
      burn: levels.optional(),
      burnTokens: z.int().min(1).optional(),
    }).optional(),
    memory: leak.optional(),
    files: leak.optional(),
  },
  ['stall'],
)

type RawDetect = z.output<typeof detectSchema>
type RawThresholds = z.output<typeof thresholds>
type RawLevels = z.output<typeof levels>

export function resolveDetect(raw: RawDetect | undefined, limits: Parameters<typeof resolveBudget>[0]): DetectSpec {
  const { toolLoop, context, budget, memory, files } = defaultDetect
  return {
    toolLoop: resolveToolLoop(raw?.toolLoop, toolLoop),
    context: resolveContext(raw?.context, context),
    budget: {
      ...budget,
      enabled: raw?.budget?.enabled ?? budget.enabled,
      limits: resolveBudget(limits),
      share: resolveLevels(raw?.budget?.share, budget.share),
      burn: resolveLevels(raw?.budget?.burn, budget.burn),
      burnTokens: raw?.budget?.burnTokens ?? budget.burnTokens,
    },
    memory: resolveLeak(raw?.memory, memory),
    files: resolveLeak(raw?.files, files),
  }
}

function resolveToolLoop(raw: RawDetect['toolLoop'], base: ToolLoopSpec): ToolLoopSpec {
  const pool = { ...base.thresholds, ...resolveThresholds(raw?.thresholds, base.thresholds) }
  const tools = Object.entries(raw?.tools ?? {}).map(([name, rule]) => [
    name,
    { polling: rule.polling ?? false, thresholds: resolveThresholds(rule.thresholds, pool) },
  ])
  return { enabled: raw?.enabled ?? base.enabled, thresholds: pool, tools: Object.fromEntries(tools) }
}

/** Only those that were given. */
function resolveThresholds(raw: RawThresholds | undefined, base: LoopThresholds): Partial<LoopThresholds> {
  const given = loopForms.flatMap((form) => {
    const own = raw?.[form]
    return own === undefined ? [] : [[form, resolveLevels(own, base[form])] as const]
  })
  return Object.fromEntries(given)
}

/** What is left out gives way to what was given: `{ act: 2 }` nudges at 2 as well. */
function resolveLevels(raw: RawLevels | undefined, base: Levels): Levels {
  const act = raw?.act ?? Math.max(base.act, raw?.nudge ?? 0, raw?.note ?? 0)
  const nudge = raw?.nudge ?? Math.min(act, Math.max(base.nudge, raw?.note ?? 0))
  return { note: raw?.note ?? Math.min(base.note, nudge), nudge, act }
}

function resolveContext(raw: RawDetect['context'], base: ContextSpec): ContextSpec {
  return {
    enabled: raw?.enabled ?? base.enabled,
    share: resolveLevels(raw?.share, base.share),
    stepsAhead: raw?.stepsAhead ?? base.stepsAhead,
    shrinkShare: raw?.shrinkShare ?? base.shrinkShare,
  }
}

function resolveLeak(raw: RawDetect['memory'], base: LeakSpec): LeakSpec {
  return {
    enabled: raw?.enabled ?? base.enabled,
    samples: raw?.samples ?? base.samples,
    share: resolveLevels(raw?.share, base.share),
    horizonMs: raw?.horizon ?? base.horizonMs,
    fullShare: raw?.fullShare === undefined ? base.fullShare : raw.fullShare,
  }
}
