import { expect, test } from 'vitest'
import { type ContextVerdict, defaultContext } from '../../model/detect.ts'
import { type ContextFact, foldContext, newContext } from './context.ts'

function fold(facts: readonly ContextFact[], spec = defaultContext): readonly ContextVerdict[] {
  let state = newContext
  const verdicts: ContextVerdict[] = []
  for (const fact of facts) {
    const folded = foldContext(state, fact, spec)
    state = folded.state
    if (folded.verdict !== null) verdicts.push(folded.verdict)
  }
  return verdicts
}

const prompt = (promptTokens: number | null, window: number | null = 1_000): ContextFact => ({
  kind: 'model',
  promptTokens,
  window,
})
const refused: ContextFact = { kind: 'refused', message: 'context_length_exceeded' }
const compacted = (tokens: number | null): ContextFact => ({ kind: 'compacted', tokens })

test.each<{ name: string; facts: readonly ContextFact[]; want: readonly Partial<ContextVerdict>[] }>([
  { name: 'below 70 %', facts: [prompt(699)], want: [] },
  { name: '70 % is noted', facts: [prompt(700)], want: [{ level: 'note', form: 'near_window' }] },
  { name: 'below 80 %', facts: [prompt(799)], want: [{ level: 'note' }] },
  { name: '80 % is a nudge', facts: [prompt(800)], want: [{ level: 'nudge' }] },
  { name: 'below 90 %', facts: [prompt(899)], want: [{ level: 'nudge' }] },
  { name: '90 % compacts', facts: [prompt(900)], want: [{ level: 'act', remedy: 'compact' }] },
  { name: 'each level once', facts: [prompt(900), prompt(910), prompt(920)], want: [{ level: 'act' }] },
  {
    name: 'growth that fills the window within two steps acts first',
    facts: [prompt(400), prompt(500), prompt(600), prompt(800)],
    want: [{ level: 'act', form: 'growing_towards_window', remedy: 'compact' }],
  },
  {
    name: 'one token a step less is a nudge',
    facts: [prompt(502), prompt(601), prompt(700), prompt(801)],
    want: [{ level: 'note' }, { level: 'nudge' }],
  },
  { name: 'two steps are no growth', facts: [prompt(500), prompt(600), prompt(700)], want: [{ level: 'note' }] },
  { name: 'an unknown window says nothing', facts: [prompt(9_999, null)], want: [] },
  { name: 'a window once known stays', facts: [prompt(1), prompt(900, null)], want: [{ level: 'act' }] },
  { name: 'unknown tokens say nothing', facts: [prompt(null)], want: [] },
  {
    name: "the provider's refusal is compacted once",
    facts: [prompt(500), refused],
    want: [{ level: 'act', form: 'provider_refused', remedy: 'compact' }],
  },
  {
    name: 'and then restarted',
    facts: [prompt(500), refused, compacted(300), refused],
    want: [{ remedy: 'compact' }, { form: 'provider_refused', remedy: 'soft_restart' }],
  },
  {
    name: 'a task that does not fit an empty context is nobody else’s fault',
    facts: [refused],
    want: [{ form: 'task_too_large', remedy: 'dead_letter' }],
  },
  { name: 'a compaction by a fifth is enough', facts: [prompt(600), compacted(480)], want: [] },
  {
    name: 'one token less is not',
    facts: [prompt(600), compacted(481)],
    want: [{ form: 'compaction_did_not_shrink', level: 'act', remedy: 'soft_restart' }],
  },
  {
    name: 'an unknown size is judged by the next prompt',
    facts: [prompt(600), compacted(null), prompt(480)],
    want: [],
  },
  {
    name: 'which may show that nothing shrank',
    facts: [prompt(600), compacted(null), prompt(481)],
    want: [{ form: 'compaction_did_not_shrink' }],
  },
  {
    name: 'a full context after its one compaction is restarted',
    facts: [prompt(900), compacted(500), prompt(950)],
    want: [{ remedy: 'compact' }, { level: 'act', remedy: 'soft_restart' }],
  },
  {
    name: 'a prompt that shrank by itself begins a new growth',
    facts: [prompt(400), prompt(600), prompt(100), prompt(500), prompt(720)],
    want: [{ level: 'note' }],
  },
])('$name', ({ facts, want }) => {
  const verdicts = fold(facts)
  expect(verdicts).toMatchObject(want)
  for (const { evidence } of verdicts) expect(evidence.length).toBeGreaterThan(0)
})

test('the evidence can be checked', () => {
  expect(fold([prompt(900)])[0]?.evidence).toEqual(['the newest prompt had 900 tokens, 90 % of a window of 1000'])
})

test('disabled, it says nothing', () => {
  expect(fold([prompt(999), refused], { ...defaultContext, enabled: false })).toEqual([])
})
