import { defineAgent } from 'prunella/agent'

export default defineAgent({ run: () => null })
