/** What the shell tells the command line: the one reader of the environment is this folder. */
export function clientEnvironment(): { readonly token: string | null; readonly color: boolean } {
  const { PRUNELLA_TOKEN: token, NO_COLOR: noColor, TERM: terminal } = process.env
  // https://no-color.org: any value that is not empty.
  return { token: token || null, color: !noColor && terminal !== 'dumb' }
}
