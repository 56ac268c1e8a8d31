/** What the exit code of every command means. */
export const exitCodes = {
  done: 0,
  /** Refused, or it failed; the last line on stderr says why. */
  failed: 1,
  /** The command line, the environment or the configuration file is wrong. */
  usage: 2,
  /** `serve` stopped because going on could have lost or altered data. */
  fatal: 3,
  /** `verify` found damage. */
  damaged: 4,
} as const

export const exitCodesHelp = `Exit codes:
  0  done
  1  refused or failed; the last line on stderr says why
  2  the command line, the environment or the configuration file is wrong
  3  serve stopped because going on could have lost or altered data
  4  verify found damage`
