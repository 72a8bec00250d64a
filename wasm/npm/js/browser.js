// The entry for browsers and bundlers: the module is fetched from beside this file before anything of it can be called.
import init from './engine.js'

await init({ module_or_path: new URL('./engine_bg.wasm', import.meta.url) })

export * from './index.js'
