import { readFileSync } from 'node:fs'
import { css } from './page/css.ts'
import { html } from './page/html.ts'

export interface PageFile {
  readonly type: string
  readonly text: string
}

/** The live page: plain files, read once. It holds nothing that needs a token. */
export function pageFiles(): Readonly<Record<string, PageFile>> {
  const script = readFileSync(new URL('./page/page.js', import.meta.url), 'utf8')
  return {
    '/': { type: 'text/html; charset=utf-8', text: html },
    '/page.css': { type: 'text/css; charset=utf-8', text: css },
    '/page.js': { type: 'text/javascript; charset=utf-8', text: script },
  }
}
