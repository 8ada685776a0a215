-- forgive: somebody knew the answer, so the wrong guesses of theirs were slips.
-- args: { {name that is forgotten, ...}, {part, whole, ...} }: the guesses of a part are taken out of the whole
-- returns: 1
-- needs: store
local names, shares = unpack(args)
for i = 1, #shares, 2 do
  local part, whole = P .. 'guesses:' .. shares[i], P .. 'guesses:' .. shares[i + 1]
  local slips, made = number(look(part, 'n')[1], 0), number(look(whole, 'n')[1], 0)
  if made > slips then redis.call('HSET', whole, 'n', made - slips) else redis.call('DEL', whole) end
  redis.call('DEL', part)
end
for _, name in ipairs(names) do redis.call('DEL', P .. 'guesses:' .. name) end
return cmsgpack.pack(1)
