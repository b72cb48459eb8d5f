// What the extension loads: a name on the Hub, an address, or files of the extension by their names.
export const MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct";
