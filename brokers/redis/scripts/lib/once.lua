-- once: a script whose reply was lost may be run again under the same name, its second argument: it says the same again and
-- does nothing. A script that needs this ends with `return answer(...)`.
local _, given_name = unpack(ARGV)
local once = given_name and P .. 'once:' .. given_name
local earlier = once and redis.pcall('GET', once)
if type(earlier) == 'string' then return earlier end

local function answer(value)
  local packed = cmsgpack.pack(value)
  if once then redis.pcall('SET', once, packed, 'PX', 60000) end -- whoever runs it again does so at once
  return packed
end
