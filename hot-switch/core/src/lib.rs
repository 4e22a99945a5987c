//! What hot-switch decides, pure: facts in, intents out, time an argument.
