import { describe, expect, test } from 'vitest'
import { call, raw, serveFakeDoor, tokens } from '../../test/http.ts'
import { limits } from '../model/limits.ts'

const { door, server } = serveFakeDoor()

describe('bodies', () => {
  const path = '/api/v1/pools/support/tasks'
  const token = tokens[1]?.value
  const deep = (levels: number) => '['.repeat(levels) + ']'.repeat(levels)
  const send = (text: string | Buffer) =>
    raw(server().url, 'POST', path, { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, text)

  test.each([
    { name: 'not JSON', body: '{', status: 400 },
    { name: 'NaN', body: '{"input":NaN}', status: 400 },
    { name: 'not UTF-8', body: Buffer.from([0x22, 0xff, 0x22]), status: 400 },
    { name: 'no input', body: '{}', status: 400 },
    { name: 'an unknown field', body: '{"input":1,"admin":true}', status: 400 },
    { name: 'as deep as allowed', body: `{"input":${deep(limits.jsonDepth)}}`, status: 201 },
    { name: 'deeper', body: `{"input":${deep(limits.jsonDepth + 2)}}`, status: 400 },
    { name: 'very much deeper', body: deep(100_000), status: 400 },
    {
      name: 'an input as large as allowed',
      body: JSON.stringify({ input: 'x'.repeat(limits.payloadBytes - 2) }),
      status: 201,
    },
    { name: 'a byte more', body: JSON.stringify({ input: 'x'.repeat(limits.payloadBytes - 1) }), status: 413 },
    {
      name: 'one task larger than the envelope',
      body: JSON.stringify({ input: 'x'.repeat(limits.payloadBytes + 17_000) }),
      status: 413,
    },
    { name: 'a batch that is too large', body: `[${'1,'.repeat(limits.batchBytes / 2)}1]`, status: 413 },
    { name: 'too many tasks', body: `[${'{"input":1},'.repeat(limits.tasksPerSubmit)}{"input":1}]`, status: 400 },
    { name: 'no tasks', body: '[]', status: 400 },
    { name: 'a priority beyond the range', body: '{"input":1,"priority":1001}', status: 400 },
    { name: 'a bad delay', body: '{"input":1,"delay":"soon"}', status: 400 },
    { name: 'a bad deadline', body: '{"input":1,"deadline":"tomorrow"}', status: 400 },
  ])('$name: $status', async ({ body, status }) => {
    const answer = await send(body)
    expect(answer.status, answer.text).toBe(status)
    if (status !== 201) {
      expect(answer.headers['content-type']).toContain('application/problem+json')
      expect(JSON.parse(answer.text)).toMatchObject({
        type: 'about:blank',
        status,
        code: expect.stringMatching(/^PRUNELLA_/),
      })
      expect(door.calls).toEqual([])
    }
  })

  test('prototype keys stay data', async () => {
    expect(
      (await send('{"input":{"__proto__":{"isAdmin":true},"constructor":{"prototype":{"isAdmin":true}},"then":1}}'))
        .status,
    ).toBe(201)
    expect((await send('{"__proto__":{"input":1}}')).status).toBe(400)
    expect(Reflect.get({}, 'isAdmin')).toBeUndefined()
  })

  test('one, many, the same again, and a full queue', async () => {
    const submit = (body: unknown) => call(server().url, 'POST', path, { token, body })
    const first = await submit({ input: 1, idempotencyKey: 'k' })
    expect(first).toMatchObject({ status: 201, body: { id: expect.any(String), status: 'queued' } })
    expect(await submit({ input: 1, idempotencyKey: 'k' })).toMatchObject({
      status: 200,
      body: { ...Object(first.body), existing: true },
    })
    expect(await submit([{ input: 1 }, { input: 2 }])).toMatchObject({
      status: 201,
      body: [{ status: 'queued' }, { status: 'queued' }],
    })
    door.full = true
    const full = await call(server().url, 'POST', path, { token, body: { input: 1 } })
    expect(full).toMatchObject({ status: 429, body: { code: 'PRUNELLA_QUEUE_FULL' } })
    expect(full.headers.get('retry-after')).toBe('1')
  })

  test('times are understood', async () => {
    await call(server().url, 'POST', path, {
      token,
      body: { input: 1, delay: '2s', deadline: '2030-01-01T00:00:00Z', priority: 5, needs: ['db'] },
    })
    expect(door.calls).toEqual([
      ['submit', 'support', [{ input: 1, delayMs: 2_000, deadlineMs: Date.UTC(2030, 0), priority: 5, needs: ['db'] }]],
    ])
  })
})
