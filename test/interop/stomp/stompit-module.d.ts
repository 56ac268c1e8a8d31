/** What is used of it; it has no types of its own. */
declare module 'stompit' {
  export interface Client {
    send(headers: Record<string, string>, options?: object): NodeJS.WritableStream
    subscribe(headers: Record<string, string>, take: (error: Error | null, message: Message) => void): void
    ack(message: Message): void
    nack(message: Message): void
    begin(): { send(headers: Record<string, string>): NodeJS.WritableStream; commit(): void; abort(): void }
    disconnect(done?: (error: Error | null) => void): void
    destroy(): void
    on(event: 'error', run: (error: Error) => void): void
  }
  export interface Message {
    readonly headers: Record<string, string>
    readString(encoding: string, done: (error: Error | null, body: string) => void): void
  }
  const library: { connect(options: object, done: (error: Error | null, client: Client) => void): void }
  export default library
}
