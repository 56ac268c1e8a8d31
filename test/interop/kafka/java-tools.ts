import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runToEnd } from '../program.ts'
import { fresh } from '../suite.ts'
import { commands, jvmArgs, type Command } from './kafka-home.ts'

const runMsMax = 50_000

/** Runs the commands of Kafka's distribution against one broker. */
export class JavaTools {
  readonly address: string
  /** For files that a command reads. */
  readonly directory: string

  constructor(address: string, directory: string) {
    this.address = address
    this.directory = directory
  }

  /** Standard output; rejects with both outputs when the command fails. */
  async run(command: Command, words: string[], input = ''): Promise<string> {
    const args = [...jvmArgs, commands[command], ...words]
    const { code, out, error } = await runToEnd({ command: 'java', args, timeoutMs: runMsMax }, input)
    assert.equal(code, 0, `${command} ${words.join(' ')}: ${error}${out}`)
    return out
  }

  server(command: Command, words: string[], input = ''): Promise<string> {
    return this.run(command, ['--bootstrap-server', this.address, ...words], input)
  }

  /** A file with settings of a client. */
  async propertyFile(text: string): Promise<string> {
    const file = join(this.directory, `${fresh('settings')}.properties`)
    await writeFile(file, text)
    return file
  }

  async createTopic(partitionCount = 1): Promise<string> {
    const topic = fresh('java')
    await this.server('kafka-topics', ['--create', '--topic', topic, '--partitions', String(partitionCount)])
    return topic
  }

  async send(topic: string, lines: string[], ...words: string[]): Promise<void> {
    await this.server('kafka-console-producer', ['--topic', topic, ...words], `${lines.join('\n')}\n`)
  }

  async read(topic: string, count: number, ...words: string[]): Promise<string[]> {
    const limits = ['--max-messages', String(count), '--timeout-ms', '20000']
    const reading = ['--topic', topic, '--from-beginning', ...limits, ...words]
    const text = await this.server('kafka-console-consumer', reading)
    return text.split('\n').filter(line => line !== '')
  }
}

export const numbered = (count: number): string[] => Array.from({ length: count }, (_, index) => `value ${index}`)
