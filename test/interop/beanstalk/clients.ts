import type { Client } from '../suite.ts'
import { compared } from './compared.ts'
import { greenstalk } from './greenstalk.ts'
import { jackd } from './jackd.ts'

export const beanstalkClients: Client[] = [jackd, greenstalk, compared]
