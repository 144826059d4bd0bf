/** lorafold's WebAssembly as edge runtimes import it; bundlers give its URL or its bytes instead, as they are told. */
declare const module: WebAssembly.Module;
export default module;
