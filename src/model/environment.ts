/** What a process that we start gets beside the allow-list: names passed on from the supervisor's environment, and values set outright. */
export interface ChildEnvironment {
  readonly pass: readonly string[]
  readonly set: Readonly<Record<string, string>>
}
