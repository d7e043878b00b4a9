# Read by CMake before llama.cpp's own settings, as config.toml beside it says. `common` (chat templates, arguments,
# downloads) is nothing that Mainstay uses and a third of what is compiled; llama-cpp-2 cannot be told to leave it out.
set(LLAMA_BUILD_COMMON OFF)
