import type { Client } from '../suite.ts'
import { redisPython } from './python.ts'
import { redisCli } from './redis-cli.ts'
import { redisBeside } from './same-answers.ts'
import { redisTests } from './tcl.ts'

export const respClients: Client[] = [redisCli, redisPython, redisBeside, redisTests]
