import type { Client } from '../suite.ts'
import { mosquittoTools } from './mosquitto.ts'
import { mqttjs } from './mqttjs.ts'
import { pahoPython, pahoSuites } from './paho.ts'

export const mqttClients: Client[] = [mqttjs, pahoPython, ...pahoSuites, mosquittoTools]
