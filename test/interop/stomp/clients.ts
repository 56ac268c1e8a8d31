import type { Client } from '../suite.ts'
import { stompPy, stompPyTests } from './python.ts'
import { stompit } from './stompit.ts'
import { stompjs } from './stompjs.ts'

export const stompClients: Client[] = [stompjs, stompit, stompPy, stompPyTests]
