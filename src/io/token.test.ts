import { chmod, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { loadToken } from './token.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'prunella-token-'))
})
afterEach(() => rm(folder, { recursive: true }))

test('made once, for this user alone, and found again', async () => {
  const state = join(folder, 'state')
  const token = await loadToken(state)
  expect(token).toMatch(/^[A-Za-z0-9_-]{43}$/)
  expect((await stat(join(state, 'token'))).mode & 0o777).toBe(0o600)
  expect(await loadToken(state)).toBe(token)
  expect(await readFile(join(state, 'token'), 'utf8')).toBe(`${token}\n`)
})

test('a link, an open or an empty file is refused', async () => {
  const path = join(folder, 'token')
  await writeFile(path, 'a-token-for-everybody', { mode: 0o600 })
  await chmod(path, 0o640)
  await expect(loadToken(folder)).rejects.toThrow('can be read by others')
  await chmod(path, 0o600)
  expect(await loadToken(folder)).toBe('a-token-for-everybody')
  await writeFile(path, '')
  await expect(loadToken(folder)).rejects.toThrow('holds no token')
  await rm(path)
  await symlink('/etc/hostname', path)
  await expect(loadToken(folder)).rejects.toThrow('is a link')
})
