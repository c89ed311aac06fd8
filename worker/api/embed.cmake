# Writes OUTPUT, a C file with one function a file of INPUTS: NAME=PATH,...
set(text "/* Generated from worker/api/assets. */\n#include \"worker/api/assets.h\"\n")
string(REPLACE "," ";" pairs "${INPUTS}")
foreach(pair IN LISTS pairs)
    string(REGEX MATCH "^([a-z_]+)=(.+)$" _ "${pair}")
    set(name ${CMAKE_MATCH_1})
    file(READ "${CMAKE_MATCH_2}" hex HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n"
        bytes "${bytes}")
    string(APPEND text "static const unsigned char ${name}_bytes[] = {\n${bytes}};\n"
        "struct span asset_${name}(void)\n{\n"
        "    return span_of(${name}_bytes, sizeof(${name}_bytes));\n}\n")
endforeach()
file(WRITE "${OUTPUT}" "${text}")
