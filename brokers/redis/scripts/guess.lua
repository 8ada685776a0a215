-- guess: count a guess of a password before its answer is known, unless somebody has to wait.
-- args: { {name, free, first wait, longest wait, ...}, how long guesses are remembered (ms) }
-- returns: for how many ms nobody may guess yet; 0: it is counted
-- needs: store
local paces, remembered = unpack(args)

local function wait_of(name, free, first, longest)
  local made, at = unpack(look(P .. 'guesses:' .. name, 'n', 'at'))
  made, at = number(made, 0), number(at, 0)
  if made < free then return 0 end
  local wait = math.min(first * 2 ^ math.min(made - free, 40), longest)
  return math.max(0, math.min(at + wait - now, wait)) -- a clock that went back keeps nobody out
end

local wait = 0
for i = 1, #paces, 4 do
  wait = math.max(wait, wait_of(unpack(paces, i, i + 3)))
end
if wait == 0 then
  for i = 1, #paces, 4 do
    local key = P .. 'guesses:' .. paces[i]
    local reply = redis.pcall('HINCRBY', key, 'n', 1)
    if type(reply) ~= 'number' then -- something else stands there
      redis.call('DEL', key)
      redis.call('HSET', key, 'n', 1)
    end
    redis.call('HSET', key, 'at', now)
    redis.call('PEXPIRE', key, remembered)
  end
end
return cmsgpack.pack(math.ceil(wait))
