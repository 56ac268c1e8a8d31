#!/usr/bin/env node
// The only file here that is JavaScript: with a warm cache the command then starts without loading a TypeScript compiler, which
// is 15 MB of memory and a third of the time.
import { enableCompileCache } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'

// Compiled code is kept between runs. In a directory of this user alone: who can write there decides what runs. Node passes over
// a directory that it cannot use, and NODE_DISABLE_COMPILE_CACHE=1 turns it off.
enableCompileCache(join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'dragoman'))

// A flush keeps up to four threads busy with writes and a sync; the journal's next block must not wait behind them.
process.env.UV_THREADPOOL_SIZE ??= '8'

// What a start loads stays, which makes V8 enlarge its young generation: 12 MB of memory that an idle broker would keep. Once it has
// started, `serve` lets it grow as the load asks.
const isServing = process.argv.includes('serve')
if (isServing) setFlagsFromString('--semi-space-growth-factor=1')

const { run } = await import('./run.ts')
process.exitCode = await run(process.argv.slice(2))
