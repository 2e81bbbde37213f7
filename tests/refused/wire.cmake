# SPDX-License-Identifier: BSD-3-Clause
# The types of wire.cpp that must not travel, with what the compiler must say.

# wire_refuses(CASE SENTENCE NAMED): case of wire.cpp; the sentence; and as it stands in the line that names type and message.
function(wire_refuses case sentence named)
  cloister_refuses(NAME "wire ${case}: ${sentence}" SOURCE refused/wire.cpp EXPECT "${sentence}" DEFINES CASE=${case})
  if(named)
    cloister_refuses(NAME "wire ${case} names ${named}" SOURCE refused/wire.cpp EXPECT "flaw::${named}" DEFINES CASE=${case})
  endif()
endfunction()

add_test(NAME "refused: the frame around wire's cases is right"
  COMMAND ${CMAKE_CXX_COMPILER} -std=c++20 -I${PROJECT_SOURCE_DIR}/framework -DCASE=0 -fsyntax-only
    ${CMAKE_CURRENT_SOURCE_DIR}/refused/wire.cpp)
wire_refuses(1 "a pointer cannot travel" "pointer, const char")
wire_refuses(2 "a pointer to a function cannot travel" "")
wire_refuses(3 "a pointer to a member cannot travel" "")
wire_refuses(4 "a reference cannot travel" "reference, int")
wire_refuses(5 "a volatile object cannot travel" "")
wire_refuses(6 "a union cannot travel" "union_type, either, std::vector<either")
wire_refuses(7 "an enum without a fixed underlying type cannot travel" "")
wire_refuses(8 "a lambda with captures cannot travel" "")
wire_refuses(9 "a class with virtual functions cannot travel" "")
wire_refuses(10 "a struct with a base class cannot travel" "")
wire_refuses(11 "the members of this struct cannot be listed" "")
wire_refuses(12 "a struct of more than 32 members cannot travel as it is" "")
wire_refuses(13 "Use std::array." "")
wire_refuses(14 "a class with private members or constructors travels only if it says how" "private_members, account, std::vector<account")
wire_refuses(15 "this class inherits travel()" "")
wire_refuses(16 "a class with travel() must be default constructible" "")
wire_refuses(17 "an object that can be neither moved nor copied cannot travel" "")
wire_refuses(18 "std::shared_ptr and std::weak_ptr cannot travel" "")
wire_refuses(19 "a std::unique_ptr to an array cannot travel" "")
wire_refuses(20 "a std::unique_ptr with a deleter of its own cannot travel" "")
wire_refuses(21 "a std::unique_ptr to a class with virtual functions cannot travel" "")
wire_refuses(22 "this class of the standard library cannot travel" "")
wire_refuses(23 "a C array cannot travel by itself" "")
wire_refuses(24 "can be written but not received" "")
wire_refuses(28 "a std::variant of more than 255 alternatives cannot travel" "")
# Here the compilers' own words must do: what they complain of cannot be asked about beforehand.
wire_refuses(25 "bit-field" "")
wire_refuses(26 "anonymous union" "")
wire_refuses(27 "this class of the standard library cannot travel" "standard_class, std::atomic<int>")
