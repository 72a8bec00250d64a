// The entry for Node: the module lies beside this file.
import { readFileSync } from 'node:fs'
import { initSync } from './engine.js'

initSync({ module: readFileSync(new URL('./engine_bg.wasm', import.meta.url)) })

export * from './index.js'
