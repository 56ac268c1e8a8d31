import { setTimeout as sleep } from 'node:timers/promises'

const stepMs = 500
const stepsMax = 120

/** Lets clients work for half a second, and longer as long as they have not got far enough: a busy machine takes its time. */
export async function underLoad(isEnough: () => boolean): Promise<void> {
  for (let step = 0; step === 0 || (step < stepsMax && !isEnough()); step++) await sleep(stepMs)
}
