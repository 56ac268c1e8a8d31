import { toggle } from '@dragoman/broker/options'
import { option } from './command.ts'

export const policyKindOption = {
  operator: option(toggle, false, 'Operator policies: of two limits, the smaller one counts.'),
}

export const policyPath = ({ operator }: { readonly operator: boolean }): string =>
  operator ? 'operator-policies' : 'policies'

export const policyColumns = {
  POLICY: 'name',
  PATTERN: 'pattern',
  'APPLIES TO': 'apply-to',
  PRIORITY: 'priority',
  SETS: 'definition',
}
