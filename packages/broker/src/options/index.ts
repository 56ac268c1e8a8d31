export { hostPort, isLoopback, isWildcard, showHostPort, type HostPort, type ListenAt } from './address.ts'
export { optionsMarkdown } from './markdown.ts'
export { nearest } from './nearest.ts'
export {
  choice,
  count,
  duration,
  flagOf,
  OptionError,
  optionalText,
  sections,
  size,
  text,
  toggle,
  type Kind,
  type Option,
} from './option.ts'
export { readEnvironment, readFile, readFlags, readObject, settle, type Given } from './read.ts'
export {
  optionTable,
  type ListenerInfo,
  type ListenerValues,
  type LogLevel,
  type Settings,
  type Values,
} from './table.ts'
export { parseYaml } from './yaml.ts'
