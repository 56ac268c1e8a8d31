#!/usr/bin/env node
// The only file here that is JavaScript: with a warm cache the command then starts without loading a TypeScript compiler, which
// is 15 MB of memory and a third of the time.
import { enableCompileCache } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'

// What a start loads stays, which makes V8 enlarge its young generation, and the loading of modules is a hot loop that it would
// optimize: 12 and 9 MB of memory that an idle broker would keep. `serve` goes back to V8's defaults, step by step. The flags come
// before the cache, which has a directory for each set of them.
if (process.argv[2] === 'serve') {
  for (const flag of ['--semi-space-growth-factor=1', '--no-opt', '--no-maglev']) setFlagsFromString(flag)
}

// Compiled code is kept between runs. In a directory of this user alone: who can write there decides what runs. Node passes over
// a directory that it cannot use, and NODE_DISABLE_COMPILE_CACHE=1 turns it off.
enableCompileCache(join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'dragoman'))

// A flush keeps up to four threads busy with writes and a sync; the journal's next block must not wait behind them.
process.env.UV_THREADPOOL_SIZE ??= '8'

const { run } = await import('./run.ts')
process.exitCode = await run(process.argv.slice(2))
