export type { Role, Token } from './auth.ts'
export { type HttpOptions, type HttpServer, startHttp } from './server.ts'
