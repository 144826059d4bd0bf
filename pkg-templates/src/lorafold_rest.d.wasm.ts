/** The second half of lorafold's WebAssembly, as edge runtimes import it. */
declare const module: WebAssembly.Module;
export default module;
